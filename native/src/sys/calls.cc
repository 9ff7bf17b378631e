#include "sys/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "sys/fault.h"
#include "sys/pace.h"

namespace mailhaul::sys {
namespace {

// read(2) and write(2) move at most 0x7ffff000 bytes a call.
constexpr std::size_t kMaxTransfer = std::size_t{1} << 30;

/// Calls until it is not interrupted; 0 or errno.
template <typename Call>
int retry(Call&& call) noexcept {
  for (;;) {
    if (call() >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

/// What one read or write may move: less for a thread that has to keep to a limit, which waits between two.
std::size_t pieceOf(std::size_t bytes) noexcept {
  if (bytes > kPacedPiece && isPaced()) return kPacedPiece;
  return std::min(bytes, kMaxTransfer);
}

/// Under a limit what was written goes to the disk now, not with everything else when the group is synced. A hint.
void beginWriting(int fd) noexcept {
  if (isPaced()) static_cast<void>(::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

template <typename Call>
int effective(Call&& call) noexcept {
  if (const int error = effect(); error != 0) return error;
  return retry(call);
}

// openat2 came with Linux 5.6; the first ENOSYS sends every later call to openat with O_NOFOLLOW, which is the same
// for the single components that are opened here.
std::atomic<bool> haveOpenat2{true};

int openat2(int dir, const char* path, int flags, int& fd) noexcept {
  if (!haveOpenat2.load(std::memory_order_relaxed)) return ENOSYS;
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const int error = retry([&] { return fd = static_cast<int>(::syscall(SYS_openat2, dir, path, &how, sizeof how)); });
  if (error == ENOSYS) haveOpenat2.store(false, std::memory_order_relaxed);
  return error;
}

int openBeneath(int dir, const char* name, int flags, Fd& out) noexcept {
  countOperation();
  int fd = -1;
  int error = openat2(dir, name, flags, fd);
  // Seccomp profiles that are older than the call refuse it with EPERM.
  if (error == ENOSYS || error == EPERM) error = retry([&] { return fd = ::openat(dir, name, flags); });
  if (error == 0) out.reset(fd);
  return error;
}

/// A first read makes the inode dirty for its access time, unless told not to; EPERM: this process may not tell.
int openUntouched(int dir, const char* name, int flags, Fd& out) noexcept {
  const int error = openBeneath(dir, name, flags | O_NOATIME, out);
  return error == EPERM ? openBeneath(dir, name, flags, out) : error;
}

/// A directory, `flags` besides.
int openBelow(int dir, const char* path, int flags, Fd& out) noexcept {
  int fd = -1;
  const int error = openat2(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, fd);
  if (error == 0) out.reset(fd);
  return error;
}

using ProcPath = std::array<char, 32>;

ProcPath procPath(int fd) noexcept {
  ProcPath path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
  return path;
}

int linkThroughProc(int fd, int dir, const char* name) noexcept {
  const ProcPath path = procPath(fd);
  return retry([&] { return ::linkat(AT_FDCWD, path.data(), dir, name, AT_SYMLINK_FOLLOW); });
}

// AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH (or a recent kernel); ENOENT tells that it may not be used.
std::atomic<bool> emptyPathFails{false};

}  // namespace

constexpr int kReading = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

int openRead(int dir, const char* name, Fd& out) noexcept { return openBeneath(dir, name, kReading, out); }

// A first read would make every inode dirty for its access time: about 2 µs a message, and blocks to write back.
int openMessage(int dir, const char* name, Fd& out) noexcept {
  return openBeneath(dir, name, kReading | O_NOATIME, out);
}

constexpr int kListing = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

int openDirectory(int dir, const char* name, Fd& out) noexcept { return openBeneath(dir, name, kListing, out); }

int openListed(int dir, const char* name, Fd& out) noexcept { return openUntouched(dir, name, kListing, out); }

int openLooked(int dir, const char* name, Fd& out) noexcept { return openUntouched(dir, name, kReading, out); }

int openForLock(int dir, const char* name, Fd& out) noexcept {
  return openBeneath(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, out);
}

int openDirectoryBelow(int dir, const char* path, Fd& out) noexcept { return openBelow(dir, path, 0, out); }

int openListedBelow(int dir, const char* path, Fd& out) noexcept {
  const int error = openBelow(dir, path, O_NOATIME, out);
  return error == EPERM ? openBelow(dir, path, 0, out) : error;
}

int statAt(int dir, const char* name, struct stat& out) noexcept {
  return retry([&] { return ::fstatat(dir, name, &out, AT_SYMLINK_NOFOLLOW); });
}

int statFd(int fd, struct stat& out) noexcept {
  return retry([&] { return ::fstat(fd, &out); });
}

int readFull(int fd, std::span<std::uint8_t> into, std::size_t& got) noexcept {
  got = 0;
  while (got < into.size()) {
    ssize_t n = 0;
    settlePiece();
    const std::size_t want = pieceOf(into.size() - got);
    if (const int error = retry([&] { return n = ::read(fd, into.data() + got, want); }); error != 0) return error;
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
    countBytes(static_cast<std::size_t>(n));
  }
  return 0;
}

int readCached(int fd, std::span<std::uint8_t> into, std::size_t& got) noexcept {
  got = 0;
  ssize_t n = 0;
  iovec part{into.data(), std::min(into.size(), kMaxTransfer)};
  // Offset -1 is the descriptor's own position, as with read(2).
  if (const int error = retry([&] { return n = ::preadv2(fd, &part, 1, -1, RWF_NOWAIT); }); error != 0) return error;
  got = static_cast<std::size_t>(n);
  countBytes(got);
  return 0;
}

bool isCached(int fd, std::uint64_t offset) noexcept {
  ssize_t n = 0;
  std::uint8_t byte = 0;
  iovec part{&byte, 1};
  return retry([&] { return n = ::preadv2(fd, &part, 1, static_cast<off_t>(offset), RWF_NOWAIT); }) == 0 && n == 1;
}

int readAt(int fd, std::span<std::uint8_t> into, std::uint64_t offset, std::size_t& got) noexcept {
  got = 0;
  while (got < into.size()) {
    ssize_t n = 0;
    settlePiece();
    const std::size_t want = pieceOf(into.size() - got);
    const int error = retry([&] { return n = ::pread(fd, into.data() + got, want, static_cast<off_t>(offset + got)); });
    if (error != 0) return error;
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
    countBytes(static_cast<std::size_t>(n));
  }
  return 0;
}

int readDirectory(int fd, std::span<std::uint8_t> into, std::size_t& got) noexcept {
  long n = 0;
  const int error = retry([&] { return n = ::syscall(SYS_getdents64, fd, into.data(), into.size()); });
  got = error == 0 ? static_cast<std::size_t>(n) : 0;
  return error;
}

int rewind(int fd) noexcept {
  return retry([&] { return ::lseek(fd, 0, SEEK_SET); });
}

std::size_t mostFiles() noexcept {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur) : 0;
}

void willNeed(int fd) noexcept {
  // What is read ahead is read before anybody has waited for it.
  if (!isPaced()) static_cast<void>(::posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
}

int linkFd(int fd, int dir, const char* name) noexcept {
  countOperation();
  if (const int error = effect(); error != 0) return error;
  if (emptyPathFails.load(std::memory_order_relaxed)) return linkThroughProc(fd, dir, name);
  const int error = retry([&] { return ::linkat(fd, "", dir, name, AT_EMPTY_PATH); });
  if (error != ENOENT) return error;
  const int second = linkThroughProc(fd, dir, name);
  if (second == 0) emptyPathFails.store(true, std::memory_order_relaxed);
  return second;
}

int unlinkAt(int dir, const char* name) noexcept {
  countOperation();
  return effective([&] { return ::unlinkat(dir, name, 0); });
}

int renameAt(int fromDir, const char* from, int toDir, const char* to) noexcept {
  countOperation();
  return effective([&] { return ::renameat(fromDir, from, toDir, to); });
}

int makeDirectory(int dir, const char* name, mode_t mode) noexcept {
  countOperation();
  return effective([&] { return ::mkdirat(dir, name, mode); });
}

int openUnnamed(int dir, mode_t mode, Fd& out) noexcept {
  countOperation();
  int fd = -1;
  const int error = effective([&] { return fd = ::openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode); });
  if (error == 0) out.reset(fd);
  return error;
}

int createFile(int dir, const char* name, mode_t mode, Fd& out) noexcept {
  countOperation();
  int fd = -1;
  const int error =
      effective([&] { return fd = ::openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode); });
  if (error == 0) out.reset(fd);
  return error;
}

int writeAll(int fd, std::span<const std::uint8_t> data) noexcept {
  for (std::size_t done = 0; done < data.size();) {
    ssize_t n = 0;
    settlePiece();
    const std::size_t want = pieceOf(data.size() - done);
    if (const int error = effective([&] { return n = ::write(fd, data.data() + done, want); }); error != 0)
      return error;
    done += static_cast<std::size_t>(n);
    countBytes(static_cast<std::size_t>(n));
  }
  beginWriting(fd);
  return 0;
}

int writeAllAt(int fd, std::span<const std::uint8_t> data, std::uint64_t offset) noexcept {
  for (std::size_t done = 0; done < data.size();) {
    ssize_t n = 0;
    settlePiece();
    const std::size_t want = pieceOf(data.size() - done);
    const int error =
        effective([&] { return n = ::pwrite(fd, data.data() + done, want, static_cast<off_t>(offset + done)); });
    if (error != 0) return error;
    done += static_cast<std::size_t>(n);
    countBytes(static_cast<std::size_t>(n));
  }
  return 0;
}

int cloneFile(int from, int to) noexcept {
  countOperation();
  return effective([&] { return ::ioctl(to, FICLONE, from); });
}

int changeOwner(int fd, uid_t uid, gid_t gid) noexcept {
  return effective([&] { return ::fchown(fd, uid, gid); });
}

int changeMode(int fd, mode_t mode) noexcept {
  return effective([&] { return ::fchmod(fd, mode); });
}

int reopenForWriting(int fd, Fd& out) noexcept {
  countOperation();
  const ProcPath path = procPath(fd);
  int opened = -1;
  const int error = effective([&] { return opened = ::open(path.data(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); });
  if (error == 0) out.reset(opened);
  return error;
}

int syncFile(int fd) noexcept {
  return effective([&] { return ::fsync(fd); });
}

int syncFileSystem(int fd) noexcept {
  return retry([&] { return ::syncfs(fd); });
}

bool syncfsTells() noexcept {
  static const bool tells = [] {
    utsname system{};
    int major = 0;
    int minor = 0;
    return ::uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 8));
  }();
  return tells;
}

int lockFile(int fd, bool exclusive) noexcept {
  return retry([&] { return ::flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB); });
}

int unlockFile(int fd) noexcept {
  return retry([&] { return ::flock(fd, LOCK_UN); });
}

int firstByteWriter(int fd, pid_t& holder) noexcept {
  struct flock wanted {};
  wanted.l_type = F_RDLCK;  // in the way of which is a write lock only
  wanted.l_whence = SEEK_SET;
  wanted.l_len = 1;
  const int error = retry([&] { return ::fcntl(fd, F_GETLK, &wanted); });
  // Without a process that we know: a lock of a descriptor (-1), or of a process that our /proc does not show (0).
  holder = error == 0 && wanted.l_type != F_UNLCK && wanted.l_pid > 0 ? wanted.l_pid : 0;
  return error;
}

int setIoIdle(pid_t tid, bool idle) noexcept {
  // From linux/ioprio.h, which older systems do not have.
  constexpr int kWhoProcess = 1, kClassShift = 13, kClassNone = 0, kClassIdle = 3;
  const int priority = (idle ? kClassIdle : kClassNone) << kClassShift;
  return retry([&] { return ::syscall(SYS_ioprio_set, kWhoProcess, tid, priority); });
}

bool isRoot() noexcept { return ::geteuid() == 0; }

std::int64_t modifiedNs(const struct stat& st) noexcept {
  // Unsigned arithmetic: a hostile time stamp wraps instead of being undefined.
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(st.st_mtim.tv_sec) * 1'000'000'000U +
                                   static_cast<std::uint64_t>(st.st_mtim.tv_nsec));
}

bool isSameFile(const struct stat& a, const struct stat& b) noexcept {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace mailhaul::sys
