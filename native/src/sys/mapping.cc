#include "sys/mapping.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>

namespace mailhaul::sys {
namespace {

/// What the handler may look at: no lock, no thread-local memory. It looks at the guards of its own thread only, which
/// nobody changes meanwhile: the two bounds of another one could be read as one changed and the other not.
struct Guard {
  std::atomic<pid_t> thread{0};  ///< that mapped, and reads; 0 while begin and end do not count
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};  ///< of the last page
  std::atomic<bool> broken{false};
  bool taken = false;
};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

/// A thread maps one message at a time, and there are 256 threads at most (-t).
std::array<Guard, 256> guards;
std::mutex mutex;  // of `taken`, `mapped` and who handles the signal
std::size_t mapped = 0;
struct sigaction earlier {};
const auto pageBytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));

/// Anonymous pages in place of those from the lost one on; false when the address is in no mapping of ours.
bool repair(std::uintptr_t address) noexcept {
  const auto thread = static_cast<pid_t>(::syscall(SYS_gettid));
  for (Guard& guard : guards) {
    if (guard.thread.load() != thread) continue;
    const std::uintptr_t end = guard.end.load();
    if (address < guard.begin.load() || address >= end) continue;
    const std::uintptr_t lost = address & ~(pageBytes - 1);
    void* at = reinterpret_cast<void*>(lost);  // NOLINT(performance-no-int-to-ptr)
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (::mmap(at, end - lost, PROT_READ, flags, -1, 0) == MAP_FAILED) return false;
    guard.broken.store(true);
    return true;
  }
  return false;
}

void onBusError(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  // Above 0: from the kernel; kill(2) gives no address.
  const bool repaired = info->si_code > 0 && repair(reinterpret_cast<std::uintptr_t>(info->si_addr));
  errno = error;
  if (repaired) return;
  if ((earlier.sa_flags & SA_SIGINFO) != 0) {
    earlier.sa_sigaction(signal, info, context);
  } else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
    earlier.sa_handler(signal);
  } else {
    // The same read meets it again on return; a signal that was sent has to be sent again.
    static_cast<void>(::sigaction(signal, &earlier, nullptr));
    if (info->si_code <= 0) static_cast<void>(::raise(signal));
  }
}

int handle() noexcept {
  struct sigaction ours {};
  ours.sa_sigaction = onBusError;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  static_cast<void>(::sigemptyset(&ours.sa_mask));
  return ::sigaction(SIGBUS, &ours, &earlier) == 0 ? 0 : errno;
}

/// Takes a guard, and the signal with the first; `guards.size()` when there is none.
std::size_t takeGuard() noexcept {
  const std::lock_guard lock(mutex);
  for (std::size_t i = 0; i < guards.size(); ++i) {
    if (guards[i].taken) continue;
    if (mapped == 0 && handle() != 0) return guards.size();
    ++mapped;
    guards[i].taken = true;
    guards[i].broken.store(false);
    return i;
  }
  return guards.size();
}

void leaveGuard(std::size_t guard) noexcept {
  const std::lock_guard lock(mutex);
  guards[guard].taken = false;
  if (--mapped == 0) static_cast<void>(::sigaction(SIGBUS, &earlier, nullptr));
}

}  // namespace

int Mapping::map(int fd, std::size_t bytes) noexcept {
  reset();
  const std::size_t guard = takeGuard();
  if (guard == guards.size()) return ENOMEM;
  void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (at == MAP_FAILED) {
    const int error = errno;
    leaveGuard(guard);
    return error;
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(at);
  guards[guard].end.store(begin + (bytes + pageBytes - 1) / pageBytes * pageBytes);
  guards[guard].begin.store(begin);
  guards[guard].thread.store(static_cast<pid_t>(::syscall(SYS_gettid)));
  at_ = at;
  bytes_ = bytes;
  guard_ = guard;
  static_cast<void>(::madvise(at_, bytes_, MADV_SEQUENTIAL));
  return 0;
}

int Mapping::populate() const noexcept {
#ifdef MADV_POPULATE_READ
  return ::madvise(at_, bytes_, MADV_POPULATE_READ) == 0 ? 0 : errno;
#else
  return EINVAL;
#endif
}

void Mapping::reset() noexcept {
  if (at_ == nullptr) return;
  guards[guard_].thread.store(0);
  ::munmap(at_, bytes_);
  leaveGuard(guard_);
  at_ = nullptr;
  bytes_ = 0;
}

bool Mapping::isBroken() const noexcept { return at_ != nullptr && guards[guard_].broken.load(); }

}  // namespace mailhaul::sys
