// XXH3 as store-idx.md uses it: check64 and check32 of sections and entries, the 128-bit digest of a message.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace mailhaul::hash {

/// XXH3-128 in canonical (big-endian) byte order.
using Digest = std::array<std::uint8_t, 16>;

[[nodiscard]] Digest digest(std::span<const std::uint8_t> data) noexcept;

[[nodiscard]] std::uint64_t check64(std::span<const std::uint8_t> data) noexcept;

[[nodiscard]] inline std::uint32_t check32(std::span<const std::uint8_t> data) noexcept {
  return static_cast<std::uint32_t>(check64(data));
}

}  // namespace mailhaul::hash
