#include "engine/knowninodes.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

#include "sys/calls.h"

namespace mailhaul::engine {
namespace {

// Parts of a hash: which shard, which bucket of it, and what tells the keys of a bucket apart.
constexpr unsigned kBucketShift = 8;
constexpr unsigned kTagShift = 48;
constexpr std::uint64_t kPositionMask = (std::uint64_t{1} << kTagShift) - 1;

}  // namespace

KnownInodes::Key KnownInodes::keyOf(const struct stat& st) noexcept {
  return {st.st_dev, st.st_ino, static_cast<std::uint64_t>(st.st_size), sys::modifiedNs(st)};
}

KnownInodes& KnownInodes::ofProcess() {
  static auto* known = new KnownInodes;
  return *known;
}

std::uint64_t KnownInodes::hashOf(const Key& key) noexcept {
  const std::array<std::uint64_t, 4> words{key.device, key.inode, key.size, static_cast<std::uint64_t>(key.mtime)};
  std::array<std::uint8_t, sizeof words> bytes{};
  std::memcpy(bytes.data(), words.data(), sizeof words);
  return hash::check64(bytes);
}

bool KnownInodes::find(const Key& key, Entry& entry) {
  const std::uint64_t hash = hashOf(key);
  return shards_[hash % kShards].find(key, hash, entry);
}

void KnownInodes::remember(const Key& key, const Facts& facts, std::span<const std::uint8_t> cache) {
  // One giant would drive out all others of its shard.
  if (sizeof(Header) + cache.size() > kRingBytes / 4) return;
  const std::uint64_t hash = hashOf(key);
  shards_[hash % kShards].remember({key, facts, cache.size()}, hash, cache);
  hasAny_.store(true, std::memory_order_relaxed);
}

std::uint64_t KnownInodes::Shard::positionOf(std::uint64_t word) noexcept {
  return ((word & kPositionMask) - 1) * kWord;
}

bool KnownInodes::Shard::isAlive(std::uint64_t word) const noexcept {
  return word != 0 && positionOf(word) + kRingBytes >= end_;
}

/// The cache bytes of the entry, and its header; null when there is none.
const std::uint8_t* KnownInodes::Shard::entryOf(const Key& key, std::uint64_t hash, Header& header) const noexcept {
  if (buckets_ == nullptr) return nullptr;
  for (const std::uint64_t word : buckets_[(hash >> kBucketShift) % kBuckets]) {
    if ((word ^ hash) >> kTagShift != 0 || !isAlive(word)) continue;
    const std::uint8_t* at = ring_ + positionOf(word) % kRingBytes;
    std::memcpy(&header, at, sizeof header);
    if (header.key == key) return at + sizeof header;
  }
  return nullptr;
}

bool KnownInodes::Shard::find(const Key& key, std::uint64_t hash, Entry& entry) {
  const std::lock_guard lock(mutex_);
  Header header;
  const std::uint8_t* cache = entryOf(key, hash, header);
  if (cache == nullptr) return false;
  entry.facts = header.facts;
  entry.cache.assign(cache, cache + header.cacheBytes);
  return true;
}

/// One that is free, or has the oldest entry of the bucket.
std::uint64_t& KnownInodes::Shard::freeWord(std::uint64_t hash) noexcept {
  Bucket& bucket = buckets_[(hash >> kBucketShift) % kBuckets];
  const auto age = [this](std::uint64_t word) { return isAlive(word) ? positionOf(word) + 1 : 0; };
  return *std::min_element(bucket.begin(), bucket.end(), [&](auto a, auto b) { return age(a) < age(b); });
}

// Zeros that the kernel gives when they are looked at: few stores share so much that all is used.
void KnownInodes::Shard::allocate() {
  memory_.reset(static_cast<std::uint8_t*>(std::calloc(1, kLine + kBuckets * sizeof(Bucket) + kRingBytes)));
  if (memory_ == nullptr) throw std::bad_alloc();
  const std::size_t unaligned = reinterpret_cast<std::uintptr_t>(memory_.get()) % kLine;
  std::uint8_t* const start = memory_.get() + (kLine - unaligned) % kLine;
  buckets_ = reinterpret_cast<Bucket*>(start);
  ring_ = start + kBuckets * sizeof(Bucket);
}

void KnownInodes::Shard::remember(const Header& header, std::uint64_t hash, std::span<const std::uint8_t> cache) {
  static_assert(std::is_trivially_copyable_v<Header> && sizeof(Header) % kWord == 0);
  const std::lock_guard lock(mutex_);
  if (buckets_ == nullptr) allocate();
  Header known;
  if (entryOf(header.key, hash, known) != nullptr) return;
  const std::size_t bytes = (sizeof header + cache.size() + kWord - 1) / kWord * kWord;
  std::uint64_t at = end_;
  if (at % kRingBytes + bytes > kRingBytes) at += kRingBytes - at % kRingBytes;  // it would not lie in one piece
  end_ = at + bytes;
  std::uint8_t* const into = ring_ + at % kRingBytes;
  std::memcpy(into, &header, sizeof header);
  if (!cache.empty()) std::memcpy(into + sizeof header, cache.data(), cache.size());
  freeWord(hash) = (hash >> kTagShift << kTagShift) | (at / kWord + 1);
}

}  // namespace mailhaul::engine
