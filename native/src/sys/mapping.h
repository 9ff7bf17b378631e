// A file mapped for reading.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mailhaul::sys {

class Mapping {
 public:
  Mapping() noexcept = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { reset(); }

  /// Maps the first `bytes` bytes (more than 0) of an open file. Returns 0 or errno. A file that is cut while it is
  /// mapped, or a disk that fails then, ends the process: map only what nobody else may write, and read it before.
  [[nodiscard]] int map(int fd, std::size_t bytes) noexcept {
    reset();
    void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) return errno;
    at_ = at;
    bytes_ = bytes;
    static_cast<void>(::madvise(at_, bytes_, MADV_SEQUENTIAL));
    return 0;
  }

  void reset() noexcept {
    if (at_ != nullptr) ::munmap(at_, bytes_);
    at_ = nullptr;
    bytes_ = 0;
  }

  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept {
    return {static_cast<const std::uint8_t*>(at_), bytes_};
  }

 private:
  void* at_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace mailhaul::sys
