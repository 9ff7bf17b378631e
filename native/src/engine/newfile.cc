#include "engine/newfile.h"

#include <errno.h>
#include <sys/stat.h>

#include "sys/calls.h"

namespace mailhaul::engine {
namespace {

constexpr mode_t kMode = 0600;
constexpr mode_t kPermissions = 07777;

/// Calls `make`, and once more after `name` was removed when it was in the way.
template <typename Make>
int replacing(int dir, const char* name, Make&& make) noexcept {
  const int error = make();
  if (error != EEXIST) return error;
  if (const int removed = sys::unlinkAt(dir, name); removed != 0 && removed != ENOENT) return removed;
  return make();
}

}  // namespace

Outcome NewFile::create(int dir, const char* temporary, const Owner& owner) {
  discard();
  temporary_ = temporary;
  dir_ = dir;
  int error = sys::openUnnamed(dir, kMode, fd_);
  // EISDIR is what a kernel without O_TMPFILE makes of the flag.
  if (error == EOPNOTSUPP || error == EISDIR) {
    error = replacing(dir, temporary, [&] { return sys::createFile(dir, temporary, kMode, fd_); });
    named_ = error == 0;
  }
  if (error != 0) return targetFailure(error, "openat");
  struct stat st {};
  if (error = sys::statFd(fd_.get(), st); error != 0) return targetFailure(error, "fstat");
  return claim(fd_.get(), st, owner);
}

Outcome NewFile::write(std::span<const std::uint8_t> data) noexcept {
  const int error = sys::writeAll(fd_.get(), data);
  return error == 0 ? Outcome{} : targetFailure(error, "write");
}

Outcome NewFile::writeAt(std::span<const std::uint8_t> data, std::uint64_t offset) noexcept {
  const int error = sys::writeAllAt(fd_.get(), data, offset);
  return error == 0 ? Outcome{} : targetFailure(error, "pwrite");
}

int NewFile::link(int toDir, const char* name) const noexcept {
  if (const int error = syncWhereNeeded(); error != 0) return error;
  return sys::linkFd(fd_.get(), toDir, name);
}

// The group's syncfs would not tell that the content could not be written.
int NewFile::syncWhereNeeded() const noexcept { return sys::syncfsTells() ? 0 : sys::syncFile(fd_.get()); }

Outcome NewFile::replace(const char* name) {
  if (!named_) {
    // Nothing has the name at the first attempt, and a link puts this file there and no other.
    if (const int first = link(dir_, name); first != EEXIST) {
      return first == 0 ? Outcome{} : targetFailure(first, "linkat");
    }
    const int error = replacing(dir_, temporary_.c_str(), [&] { return link(dir_, temporary_.c_str()); });
    if (error != 0) return targetFailure(error, "linkat");
    named_ = true;
  } else if (const int error = syncWhereNeeded(); error != 0) {
    return targetFailure(error, "fsync");
  }
  if (const int error = sys::renameAt(dir_, temporary_.c_str(), dir_, name); error != 0) {
    return targetFailure(error, "renameat");
  }
  named_ = false;
  // rename(2) moves whatever has the name at that moment.
  struct stat mine {};
  struct stat named {};
  if (const int error = sys::statFd(fd_.get(), mine); error != 0) return targetFailure(error, "fstat");
  if (const int error = sys::statAt(dir_, name, named); error != 0) return targetFailure(error, "fstatat");
  return sys::isSameFile(mine, named) ? Outcome{} : targetFailure(EEXIST, "renameat");
}

void NewFile::discard() noexcept {
  // A temporary name that stays behind is swept by the next attempt.
  if (named_) static_cast<void>(sys::unlinkAt(dir_, temporary_.c_str()));
  named_ = false;
  fd_.reset();
}

Outcome claim(int fd, const struct stat& st, const Owner& owner) noexcept {
  if (owner.set && (st.st_uid != owner.uid || st.st_gid != owner.gid)) {
    if (const int error = sys::changeOwner(fd, owner.uid, owner.gid); error != 0) return targetFailure(error, "fchown");
  }
  if ((st.st_mode & kPermissions) != kMode) {
    if (const int error = sys::changeMode(fd, kMode); error != 0) return targetFailure(error, "fchmod");
  }
  return {};
}

}  // namespace mailhaul::engine
