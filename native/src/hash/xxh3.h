// XXH3 as store-idx.md uses it: check64 and check32 of sections and entries, the 128-bit digest of a message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mailhaul::hash {

/// XXH3-128 in canonical (big-endian) byte order.
using Digest = std::array<std::uint8_t, 16>;

[[nodiscard]] Digest digest(std::span<const std::uint8_t> data) noexcept;

/// The digest of content that is given piece by piece.
class Stream {
 public:
  Stream() noexcept;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void add(std::span<const std::uint8_t> piece) noexcept;
  [[nodiscard]] Digest digest() const noexcept;

 private:
  /// An XXH3_state_t.
  alignas(64) std::array<std::byte, 576> state_;
};

[[nodiscard]] std::uint64_t check64(std::span<const std::uint8_t> data) noexcept;

[[nodiscard]] inline std::uint32_t check32(std::span<const std::uint8_t> data) noexcept {
  return static_cast<std::uint32_t>(check64(data));
}

}  // namespace mailhaul::hash
