#include "engine/knowninodes.h"

#include <cstring>
#include <utility>

#include "sys/calls.h"

namespace mailhaul::engine {

KnownInodes::Key KnownInodes::keyOf(const struct stat& st) noexcept {
  return {st.st_dev, st.st_ino, static_cast<std::uint64_t>(st.st_size), sys::modifiedNs(st)};
}

KnownInodes& KnownInodes::ofProcess() noexcept {
  static KnownInodes known;
  return known;
}

std::size_t KnownInodes::Hash::operator()(const Key& key) const noexcept {
  const std::array<std::uint64_t, 4> words{key.device, key.inode, key.size, static_cast<std::uint64_t>(key.mtime)};
  std::array<std::uint8_t, sizeof words> bytes{};
  std::memcpy(bytes.data(), words.data(), sizeof words);
  return static_cast<std::size_t>(hash::check64(bytes));
}

std::shared_ptr<const KnownInodes::Entry> KnownInodes::find(const Key& key) {
  Shard& shard = shardOf(key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.entries.find(key);
  return found == shard.entries.end() ? nullptr : found->second;
}

void KnownInodes::remember(const Key& key, Entry entry) {
  const std::size_t bytes = entry.cache.size() + kOverhead;
  if (bytes > kShardBytes / 4) return;
  auto shared = std::make_shared<const Entry>(std::move(entry));
  hasAny_.store(true, std::memory_order_relaxed);
  Shard& shard = shardOf(key);
  const std::lock_guard lock(shard.mutex);
  if (!shard.entries.try_emplace(key, std::move(shared)).second) return;
  shard.order.push_back(key);
  shard.bytes += bytes;
  while (shard.bytes > kShardBytes) {
    const auto oldest = shard.entries.find(shard.order.front());
    shard.bytes -= oldest->second->cache.size() + kOverhead;
    shard.entries.erase(oldest);
    shard.order.pop_front();
  }
}

}  // namespace mailhaul::engine
