// Finds the names of a directory scan. 3.x lists messages in the order in which they came, and so, mostly, do inode
// numbers: the name behind the one found last is tried first, and costs one comparison. Else a hash table, made when it
// is needed first. File names are chosen by others, so its hash is keyed (SipHash-1-3): nobody can prepare names that
// collide. Only speed depends on the key, never an answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mailhaul::plan {

struct NameKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

/// SipHash-1-3.
[[nodiscard]] std::uint64_t hashName(std::string_view name, const NameKey& key) noexcept;

class Names {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  /// Name i is names[offsets[i] … offsets[i + 1]); the memory is the caller's. Fewer than 2^31 names.
  Names(std::span<const std::uint8_t> names, std::span<const std::uint32_t> offsets, const NameKey& key) noexcept
      : names_(names), offsets_(offsets), key_(key) {}

  /// Its number, or kNone. Throws std::bad_alloc.
  [[nodiscard]] std::uint32_t find(std::string_view name);

 private:
  [[nodiscard]] std::size_t count() const noexcept { return offsets_.size() - 1; }
  [[nodiscard]] std::string_view name(std::size_t i) const noexcept {
    return {reinterpret_cast<const char*>(names_.data()) + offsets_[i], offsets_[i + 1] - offsets_[i]};
  }
  void fill();

  std::span<const std::uint8_t> names_;
  std::span<const std::uint32_t> offsets_;
  NameKey key_;
  std::uint32_t next_ = 0;
  std::vector<std::uint32_t> slots_;  ///< number plus one; 0 is free
};

}  // namespace mailhaul::plan
