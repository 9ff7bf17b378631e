// XXH3 as store-idx.md uses it: check64 and check32 of sections and entries, the 128-bit digest of a message.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

// Inlined into each user; the vendored header is compiled with its own warnings off (a SYSTEM include).
#define XXH_INLINE_ALL
#include <xxhash/xxhash.h>

namespace mailhaul::hash {

/// XXH3-128 in canonical (big-endian) byte order.
using Digest = std::array<std::uint8_t, 16>;

[[nodiscard]] inline Digest digest(std::span<const std::uint8_t> data) noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(data.data(), data.size()));
  Digest out;
  static_assert(sizeof canonical.digest == sizeof out);
  std::memcpy(out.data(), canonical.digest, sizeof out);
  return out;
}

[[nodiscard]] inline std::uint64_t check64(std::span<const std::uint8_t> data) noexcept {
  return XXH3_64bits(data.data(), data.size());
}

[[nodiscard]] inline std::uint32_t check32(std::span<const std::uint8_t> data) noexcept {
  return static_cast<std::uint32_t>(check64(data));
}

}  // namespace mailhaul::hash
