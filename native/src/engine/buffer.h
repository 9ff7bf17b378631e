// One growing buffer a thread, never cleared: reading a message costs no allocation once it has grown.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace mailhaul::engine {

class Buffer {
 public:
  /// At least `bytes` bytes of undefined content. Invalidates what was returned before. Throws std::bad_alloc.
  [[nodiscard]] std::span<std::uint8_t> take(std::size_t bytes) {
    if (bytes > capacity_) {
      const std::size_t wanted = std::max(bytes, capacity_ + capacity_ / 2);
      data_.reset();
      capacity_ = 0;
      data_.reset(new std::uint8_t[wanted]);
      capacity_ = wanted;
    }
    return {data_.get(), bytes};
  }

  /// Gives memory back that a giant message needed.
  void trim() noexcept {
    if (capacity_ <= kKeep) return;
    data_.reset();
    capacity_ = 0;
  }

 private:
  static constexpr std::size_t kKeep = std::size_t{64} << 20;

  std::unique_ptr<std::uint8_t[]> data_;
  std::size_t capacity_ = 0;
};

}  // namespace mailhaul::engine
