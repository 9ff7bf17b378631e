// What was found out about 3.x inodes with several links (single-copy mode), kept for their further links in other
// folders: a message that was read, parsed and digested once needs only a link the next time.
//
// One for the process, shared by all threads, bounded in memory: the oldest entry makes room. An inode is known by
// device, number, size and modification time, as in the migration record (its change time moves with every link).
#pragma once

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "hash/xxh3.h"

namespace mailhaul::engine {

/// What the index needs of a message.
struct Facts {
  std::uint64_t size = 0;  ///< bytes of the stored (CRLF) form
  std::uint64_t headerBytes = 0;
  hash::Digest digest{};
  bool rewritten = false;  ///< the 3.x file holds bare LF
};

class KnownInodes {
 public:
  struct Entry {
    Facts facts;
    std::vector<std::uint8_t> cache;  ///< the cache entry of store.idx
  };

  struct Key {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t mtime = 0;
    bool operator==(const Key&) const = default;
  };

  [[nodiscard]] static Key keyOf(const struct stat& st) noexcept;
  /// The one of this process.
  [[nodiscard]] static KnownInodes& ofProcess() noexcept;

  /// Something was remembered.
  [[nodiscard]] bool hasAny() const noexcept { return hasAny_.load(std::memory_order_relaxed); }
  /// Null when it is not known.
  [[nodiscard]] std::shared_ptr<const Entry> find(const Key& key);
  /// Throws std::bad_alloc.
  void remember(const Key& key, Entry entry);

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kShardBytes = (std::size_t{32} << 20) / kShards;
  /// What an entry costs beside its cache bytes, roughly.
  static constexpr std::size_t kOverhead = 256;

  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<Key, std::shared_ptr<const Entry>, Hash> entries;
    std::deque<Key> order;  ///< oldest first
    std::size_t bytes = 0;
  };

  [[nodiscard]] Shard& shardOf(const Key& key) noexcept { return shards_[Hash{}(key) % kShards]; }

  std::array<Shard, kShards> shards_;
  std::atomic<bool> hasAny_{false};
};

}  // namespace mailhaul::engine
