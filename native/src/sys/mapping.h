// A file mapped for reading, whose reader survives what happens to the file meanwhile.
//
// A page of a mapped file that cannot be had any more (somebody cut the file, the disk fails) is a SIGBUS to whoever
// reads it, which ends the process: the owner of one message could stop everybody's migration, again and again. While
// something is mapped here a handler puts zeros in place of the lost pages and notes it, so that the reader goes on to
// the end of what it does and then asks isBroken(). Every other SIGBUS goes where it would have gone.
#pragma once

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

  /// Maps the first `bytes` bytes (more than 0) of an open file, for this thread to read. Returns 0 or errno.
  [[nodiscard]] int map(int fd, std::size_t bytes) noexcept;
  /// Enters all pages into the page table now, at a fraction of what a fault for every few costs. Returns 0 or errno
  /// (EFAULT for a page that cannot be had; EINVAL before Linux 5.14).
  [[nodiscard]] int populate() const noexcept;
  void reset() noexcept;

  [[nodiscard]] bool isMapped() const noexcept { return at_ != nullptr; }
  /// Some of what was read from bytes() was not there, and read as zeros. A system call that was given such bytes
  /// (write) fails with EFAULT instead, and this stays false.
  [[nodiscard]] bool isBroken() const noexcept;
  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept {
    return {static_cast<const std::uint8_t*>(at_), bytes_};
  }

 private:
  void* at_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t guard_ = 0;  ///< what the handler knows of it
};

}  // namespace mailhaul::sys
