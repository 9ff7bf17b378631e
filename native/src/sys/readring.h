// Reads of many files that one system call hands over (io_uring). The kernel sees them together: what lies side by
// side on the disk becomes one request, and each is copied when it is there, without a call of its own.
//
//     queue … queue   submit   take … take   wait   take …
//
// Not everywhere: kernels before 5.6 have none, `kernel.io_uring_disabled` and many containers forbid it. Of one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sys/fd.h"

struct io_uring_cqe;
struct io_uring_params;
struct io_uring_sqe;

namespace mailhaul::sys {

class ReadRing {
 public:
  /// Reads that may be queued or under way at a time.
  static constexpr std::uint32_t kMost = 128;

  ReadRing() noexcept = default;
  ReadRing(const ReadRing&) = delete;
  ReadRing& operator=(const ReadRing&) = delete;
  ~ReadRing() { close(); }

  /// Returns 0 or errno: ENOSYS, EPERM where the system has none or does not allow it.
  [[nodiscard]] int open() noexcept;
  /// Waits for what is under way. False: that failed, and memory that was given may still be written to.
  bool close() noexcept;
  [[nodiscard]] bool isOpen() const noexcept { return fd_.isOpen(); }

  /// Queues a read of the beginning of the file into `into`, which stays until the result was taken.
  void queue(int fd, std::span<std::uint8_t> into, std::uint32_t token) noexcept;
  /// Hands over what is queued. What the kernel does not take has the result -EAGAIN.
  void submit() noexcept;
  /// The next result that is there: bytes read, or a negative errno. False: none.
  [[nodiscard]] bool take(std::uint32_t& token, std::int32_t& result) noexcept;
  /// Waits for a result. Returns 0 or errno.
  [[nodiscard]] int wait() noexcept;
  [[nodiscard]] std::uint32_t underWay() const noexcept { return underWay_; }

 private:
  [[nodiscard]] int enter(std::uint32_t submitted, std::uint32_t awaited, int& taken) noexcept;
  [[nodiscard]] int map(const io_uring_params& parameters) noexcept;

  Fd fd_;
  /// One mapping has both rings, another the entries of the submission ring.
  void* rings_ = nullptr;
  std::size_t ringBytes_ = 0;
  io_uring_sqe* entries_ = nullptr;
  std::size_t entryBytes_ = 0;

  std::uint32_t* tail_ = nullptr;  ///< of the submission ring; only this thread changes it
  std::uint32_t mask_ = 0;
  std::uint32_t* resultHead_ = nullptr;
  std::uint32_t* resultTail_ = nullptr;  ///< the kernel's
  std::uint32_t resultMask_ = 0;
  const io_uring_cqe* results_ = nullptr;

  std::uint32_t queued_ = 0;
  std::uint32_t refused_ = 0;  ///< by the kernel: the entries from the tail on have their tokens
  std::uint32_t underWay_ = 0;
};

}  // namespace mailhaul::sys
