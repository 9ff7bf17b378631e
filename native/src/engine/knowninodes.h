// What was found out about 3.x inodes with several links (single-copy mode), kept for their further links in other
// folders: a message that was read, parsed and digested once needs only a link the next time.
//
// One for the process, shared by all threads, bounded in memory: the oldest entries make room. An inode is known by
// device, number, size and modification time, as in the migration record (its change time moves with every link).
//
// A store whose files have names elsewhere too (a copy by `cp -al`, a backup) has nothing but inodes with several
// links, none of which comes again. So to remember one, and to find that one is not known, costs no allocation and one
// look at a line of the processor's cache. Each shard:
//
//     buckets   of 8 words, one cache line: tag of the key (16 bits) | position + 1, in words (48 bits); 0: free
//     ring      entries back to back, each Header and cache bytes, padded to 8
//     end_      position after the youngest entry, counted on for ever; position p lies at p % ring
//
// What lies more than a ring before `end_` is overwritten: such words of buckets are free as well.
#pragma once

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <span>
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
  /// The one of this process. Its memory goes with the process.
  [[nodiscard]] static KnownInodes& ofProcess();

  /// Something was remembered.
  [[nodiscard]] bool hasAny() const noexcept { return hasAny_.load(std::memory_order_relaxed); }
  /// Copies what is known into `entry`; false when it is not known. Throws std::bad_alloc.
  [[nodiscard]] bool find(const Key& key, Entry& entry);
  /// What is known already stays as it is. Throws std::bad_alloc.
  void remember(const Key& key, const Facts& facts, std::span<const std::uint8_t> cache);

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kWord = sizeof(std::uint64_t);
  static constexpr std::size_t kRingBytes = (std::size_t{32} << 20) / kShards;
  static constexpr std::size_t kBuckets = 2048;

  using Bucket = std::array<std::uint64_t, kLine / kWord>;

  struct Header {
    Key key;
    Facts facts;
    std::uint64_t cacheBytes = 0;
  };

  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };

  class alignas(kLine) Shard {
   public:
    [[nodiscard]] bool find(const Key& key, std::uint64_t hash, Entry& entry);
    void remember(const Header& header, std::uint64_t hash, std::span<const std::uint8_t> cache);

   private:
    void allocate();
    [[nodiscard]] static std::uint64_t positionOf(std::uint64_t word) noexcept;
    [[nodiscard]] bool isAlive(std::uint64_t word) const noexcept;
    [[nodiscard]] const std::uint8_t* entryOf(const Key& key, std::uint64_t hash, Header& header) const noexcept;
    [[nodiscard]] std::uint64_t& freeWord(std::uint64_t hash) noexcept;

    std::mutex mutex_;
    std::unique_ptr<std::uint8_t, Free> memory_;  ///< of both; null until something is remembered
    Bucket* buckets_ = nullptr;
    std::uint8_t* ring_ = nullptr;
    std::uint64_t end_ = 0;
  };

  [[nodiscard]] static std::uint64_t hashOf(const Key& key) noexcept;

  std::array<Shard, kShards> shards_;
  std::atomic<bool> hasAny_{false};
};

}  // namespace mailhaul::engine
