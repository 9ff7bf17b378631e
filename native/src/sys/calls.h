// Thin wrappers around the system calls that the addon makes: the only place that makes them. All return 0 or a
// positive errno and retry EINTR. Paths are one component below a held directory; no symbolic link is followed.
// Calls with an effect pass the seam (fault.h); each says so by standing in the second half of this file.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "sys/fd.h"

namespace mailhaul::sys {

// --- Looking ---------------------------------------------------------------------------------------------------

/// Opens the file `name` for reading: no link followed, nothing outside `dir`, never blocking on a fifo or device.
[[nodiscard]] int openRead(int dir, const char* name, Fd& out) noexcept;
/// The same for a message, whose access time stays as it is; EPERM when this process may not ask for that (it is not
/// the file's owner, nor root).
[[nodiscard]] int openMessage(int dir, const char* name, Fd& out) noexcept;
/// Opens the directory `name` ("." for an independent description of `dir`).
[[nodiscard]] int openDirectory(int dir, const char* name, Fd& out) noexcept;
/// The same for a directory that is only listed: its access time stays as it is where this process may ask for that.
[[nodiscard]] int openListed(int dir, const char* name, Fd& out) noexcept;
/// The same for a file.
[[nodiscard]] int openLooked(int dir, const char* name, Fd& out) noexcept;
/// The same for a lock of the file: for writing as well, which NFS wants.
[[nodiscard]] int openForLock(int dir, const char* name, Fd& out) noexcept;
/// Opens the directory that the relative `path` leads to, through any number of directories and no link. ENOSYS or
/// EPERM where there is no openat2: several components are never left to a call that would follow links.
[[nodiscard]] int openDirectoryBelow(int dir, const char* path, Fd& out) noexcept;
/// The same for a directory that is listed: its access time stays as it is where this process may ask for that.
[[nodiscard]] int openListedBelow(int dir, const char* path, Fd& out) noexcept;
[[nodiscard]] int statAt(int dir, const char* name, struct stat& out) noexcept;
[[nodiscard]] int statFd(int fd, struct stat& out) noexcept;
/// Files that this process may have open.
[[nodiscard]] std::size_t mostFiles() noexcept;
/// Reads until `into` is full or the file ends; `got` is what was read.
[[nodiscard]] int readFull(int fd, std::span<std::uint8_t> into, std::size_t& got) noexcept;
/// One read that takes only what is in the page cache; EAGAIN when it would have to wait for the disk.
[[nodiscard]] int readCached(int fd, std::span<std::uint8_t> into, std::size_t& got) noexcept;
/// Whether the byte at `offset` is in the page cache; false where the file system does not tell.
[[nodiscard]] bool isCached(int fd, std::uint64_t offset) noexcept;
[[nodiscard]] int readAt(int fd, std::span<std::uint8_t> into, std::uint64_t offset, std::size_t& got) noexcept;
/// getdents64: fills `into` with directory entries; 0 bytes at the end of the directory.
[[nodiscard]] int readDirectory(int fd, std::span<std::uint8_t> into, std::size_t& got) noexcept;
/// The next byte, of a directory the next entry, is the first again.
[[nodiscard]] int rewind(int fd) noexcept;
/// Asks the kernel to read the whole file ahead. A hint: its failure is nothing to act on.
void willNeed(int fd) noexcept;

// --- Effects (each is one call of the seam) ----------------------------------------------------------------------

/// Makes the file that `fd` has open appear as `name` too. Needs no name of the source, so nobody can swap it.
[[nodiscard]] int linkFd(int fd, int dir, const char* name) noexcept;
[[nodiscard]] int unlinkAt(int dir, const char* name) noexcept;
[[nodiscard]] int renameAt(int fromDir, const char* from, int toDir, const char* to) noexcept;
[[nodiscard]] int makeDirectory(int dir, const char* name, mode_t mode) noexcept;
/// A file without a name in the file system of `dir`; EOPNOTSUPP where there is no O_TMPFILE.
[[nodiscard]] int openUnnamed(int dir, mode_t mode, Fd& out) noexcept;
/// A new file `name`, which must not exist.
[[nodiscard]] int createFile(int dir, const char* name, mode_t mode, Fd& out) noexcept;
/// Writes all of `data` at the descriptor's position.
[[nodiscard]] int writeAll(int fd, std::span<const std::uint8_t> data) noexcept;
/// Writes all of `data` at `offset`.
[[nodiscard]] int writeAllAt(int fd, std::span<const std::uint8_t> data, std::uint64_t offset) noexcept;
/// Another description of the file that `fd` has open, for writing. Goes through /proc; ENOENT where that is missing.
[[nodiscard]] int reopenForWriting(int fd, Fd& out) noexcept;
/// fsync(2).
[[nodiscard]] int syncFile(int fd) noexcept;
/// Makes `to` share the blocks of `from` (FICLONE).
[[nodiscard]] int cloneFile(int from, int to) noexcept;
[[nodiscard]] int changeOwner(int fd, uid_t uid, gid_t gid) noexcept;
[[nodiscard]] int changeMode(int fd, mode_t mode) noexcept;
/// syncfs(2) of the descriptor's file system. It may run on a thread that is not armed: who asks for it passes the
/// seam (`effect()`) first.
[[nodiscard]] int syncFileSystem(int fd) noexcept;
/// Whether syncfs(2) reports that pages could not be written: since Linux 5.8.
[[nodiscard]] bool syncfsTells() noexcept;

/// flock(2) without waiting; EWOULDBLOCK when another holds it. A lock leaves nothing on disk: no seam.
[[nodiscard]] int lockFile(int fd, bool exclusive) noexcept;
[[nodiscard]] int unlockFile(int fd) noexcept;

/// The other process that has a POSIX write lock on the first byte of a file (F_GETLK); 0 when none has.
[[nodiscard]] int firstByteWriter(int fd, pid_t& holder) noexcept;

/// ioprio_set(2) of the thread `tid` of this process: the idle class, or none, which goes by the niceness.
[[nodiscard]] int setIoIdle(pid_t tid, bool idle) noexcept;

/// This process opens what it likes.
[[nodiscard]] bool isRoot() noexcept;

/// Modification time in nanoseconds since 1970; wraps for years beyond 2262, as the TypeScript side does.
[[nodiscard]] std::int64_t modifiedNs(const struct stat& st) noexcept;
[[nodiscard]] bool isSameFile(const struct stat& a, const struct stat& b) noexcept;

}  // namespace mailhaul::sys
