#include "sys/readring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#if __has_include(<linux/io_uring.h>) && defined(SYS_io_uring_setup)
#include <linux/io_uring.h>
#define MAILHAUL_HAS_RING 1
#endif

namespace mailhaul::sys {

#ifdef MAILHAUL_HAS_RING

namespace {

/// IORING_OP_READ, which headers before Linux 5.6 do not name.
constexpr std::uint8_t kRead = 22;

/// Results are delivered when this thread asks for them, and not in the middle of anything else (Linux 6.1).
#if defined(IORING_SETUP_SINGLE_ISSUER) && defined(IORING_SETUP_DEFER_TASKRUN)
constexpr std::uint32_t kFlags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
#else
constexpr std::uint32_t kFlags = 0;
#endif

int setUp(std::uint32_t flags, io_uring_params& parameters) noexcept {
  parameters = {};
  parameters.flags = flags;
  return static_cast<int>(::syscall(SYS_io_uring_setup, ReadRing::kMost, &parameters));
}

template <class T>
T* at(void* base, std::uint32_t offset) noexcept {
  return reinterpret_cast<T*>(static_cast<std::uint8_t*>(base) + offset);
}

std::uint32_t load(std::uint32_t& shared) noexcept {
  return std::atomic_ref<std::uint32_t>(shared).load(std::memory_order_acquire);
}

void store(std::uint32_t& shared, std::uint32_t value) noexcept {
  std::atomic_ref<std::uint32_t>(shared).store(value, std::memory_order_release);
}

}  // namespace

int ReadRing::open() noexcept {
  close();
  io_uring_params parameters;
  int fd = setUp(kFlags, parameters);
  if (fd < 0 && errno == EINVAL && kFlags != 0) fd = setUp(0, parameters);
  if (fd < 0) return errno;
  fd_.reset(fd);
  const int error = map(parameters);
  if (error != 0) close();
  return error;
}

int ReadRing::map(const io_uring_params& parameters) noexcept {
  if ((parameters.features & IORING_FEAT_SINGLE_MMAP) == 0) return ENOSYS;  // before Linux 5.4
  const io_sqring_offsets& sq = parameters.sq_off;
  const io_cqring_offsets& cq = parameters.cq_off;
  const std::size_t sqBytes = sq.array + parameters.sq_entries * sizeof(std::uint32_t);
  const std::size_t cqBytes = cq.cqes + parameters.cq_entries * sizeof(io_uring_cqe);
  constexpr int kProtection = PROT_READ | PROT_WRITE, kShared = MAP_SHARED | MAP_POPULATE;
  const std::size_t ringBytes = sqBytes > cqBytes ? sqBytes : cqBytes;
  void* rings = ::mmap(nullptr, ringBytes, kProtection, kShared, fd_.get(), IORING_OFF_SQ_RING);
  if (rings == MAP_FAILED) return errno;
  rings_ = rings;
  ringBytes_ = ringBytes;
  const std::size_t entryBytes = parameters.sq_entries * sizeof(io_uring_sqe);
  void* entries = ::mmap(nullptr, entryBytes, kProtection, kShared, fd_.get(), IORING_OFF_SQES);
  if (entries == MAP_FAILED) return errno;
  entries_ = static_cast<io_uring_sqe*>(entries);
  entryBytes_ = entryBytes;
  tail_ = at<std::uint32_t>(rings, sq.tail);
  mask_ = *at<std::uint32_t>(rings, sq.ring_mask);
  auto* order = at<std::uint32_t>(rings, sq.array);
  for (std::uint32_t i = 0; i < parameters.sq_entries; ++i) order[i] = i;
  resultHead_ = at<std::uint32_t>(rings, cq.head);
  resultTail_ = at<std::uint32_t>(rings, cq.tail);
  resultMask_ = *at<std::uint32_t>(rings, cq.ring_mask);
  results_ = at<io_uring_cqe>(rings, cq.cqes);
  return 0;
}

bool ReadRing::close() noexcept {
  std::uint32_t token = 0;
  std::int32_t result = 0;
  while (underWay_ > 0) {
    if (!take(token, result) && wait() != 0) break;
  }
  const bool ended = underWay_ == 0;
  if (rings_ != nullptr) ::munmap(rings_, ringBytes_);
  if (entries_ != nullptr) ::munmap(entries_, entryBytes_);
  rings_ = nullptr;
  entries_ = nullptr;
  fd_.reset();
  queued_ = refused_ = underWay_ = 0;
  return ended;
}

void ReadRing::queue(int fd, std::span<std::uint8_t> into, std::uint32_t token) noexcept {
  io_uring_sqe& entry = entries_[(*tail_ + queued_) & mask_];
  entry = {};
  entry.opcode = kRead;
  entry.fd = fd;
  entry.addr = reinterpret_cast<std::uintptr_t>(into.data());
  entry.len = static_cast<std::uint32_t>(into.size());
  entry.user_data = token;
  ++queued_;
}

void ReadRing::submit() noexcept {
  std::uint32_t tail = *tail_ + queued_;
  store(*tail_, tail);
  while (queued_ > 0) {
    int taken = 0;
    if (enter(queued_, 0, taken) != 0 || taken <= 0) break;
    queued_ -= static_cast<std::uint32_t>(taken);
    underWay_ += static_cast<std::uint32_t>(taken);
  }
  if (queued_ == 0) return;
  // The kernel looks at the tail only when it is called.
  tail -= queued_;
  store(*tail_, tail);
  refused_ = queued_;
  queued_ = 0;
}

bool ReadRing::take(std::uint32_t& token, std::int32_t& result) noexcept {
  if (refused_ > 0) {
    --refused_;
    token = static_cast<std::uint32_t>(entries_[(*tail_ + refused_) & mask_].user_data);
    result = -EAGAIN;
    return true;
  }
  if (underWay_ == 0) return false;
  const std::uint32_t head = *resultHead_;
  if (head == load(*resultTail_)) return false;
  const io_uring_cqe& entry = results_[head & resultMask_];
  token = static_cast<std::uint32_t>(entry.user_data);
  result = entry.res;
  store(*resultHead_, head + 1);
  --underWay_;
  return true;
}

int ReadRing::wait() noexcept {
  int taken = 0;
  return enter(0, 1, taken);
}

int ReadRing::enter(std::uint32_t submitted, std::uint32_t awaited, int& taken) noexcept {
  const std::uint32_t flags = awaited > 0 ? IORING_ENTER_GETEVENTS : 0;
  do {
    taken = static_cast<int>(::syscall(SYS_io_uring_enter, fd_.get(), submitted, awaited, flags, nullptr, 0));
  } while (taken < 0 && errno == EINTR);
  return taken < 0 ? errno : 0;
}

#else  // Nothing of it is ever called but open() and close().

int ReadRing::open() noexcept { return ENOSYS; }
bool ReadRing::close() noexcept { return true; }
void ReadRing::queue(int, std::span<std::uint8_t>, std::uint32_t) noexcept {}
void ReadRing::submit() noexcept {}
bool ReadRing::take(std::uint32_t&, std::int32_t&) noexcept { return false; }
int ReadRing::wait() noexcept { return ENOSYS; }

#endif

}  // namespace mailhaul::sys
