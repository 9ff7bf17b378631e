#include "engine/source.h"

#include <errno.h>

#include <cstring>

#include "sys/calls.h"

namespace mailhaul::engine {
namespace {

/// Larger messages are mapped instead of read into memory.
constexpr std::size_t kMapAbove = std::size_t{256} << 20;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

}  // namespace

const char* fileName(std::string_view name, NameBuffer& buffer) noexcept {
  if (name.empty() || name.size() >= buffer.size() || name.front() == '.') return nullptr;
  if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos) return nullptr;
  std::memcpy(buffer.data(), name.data(), name.size());
  buffer[name.size()] = '\0';
  return buffer.data();
}

bool Identity::matches(const struct stat& st) const noexcept {
  return st.st_ino == inode && static_cast<double>(st.st_size) == size && sys::modifiedNs(st) == mtime;
}

Identity recordOf(const MessageTable& messages, std::size_t i) noexcept {
  return {messages.inodes[i], messages.sizes[i], messages.mtimes[i]};
}

Outcome Source::open(int dir, const char* name, const Identity& record, const SourceRules& rules) noexcept {
  close();
  record_ = record;
  cold_ = false;
  // Looked at before it is opened: opening a fifo or a device can have an effect on others.
  if (const int error = sys::statAt(dir, name, st_); error != 0) return sourceFailure(error, "fstatat");
  if (!S_ISREG(st_.st_mode)) return Outcome::fail(MessageError::notRegular);
  const bool foreign = st_.st_uid != rules.owner;
  const bool writable = (st_.st_mode & S_IWOTH) != 0;
  foreign_ = foreign || writable;
  if (foreign && !rules.takeForeign) return Outcome::fail(MessageError::foreignOwner);
  if (writable && !rules.takeForeign) return Outcome::fail(MessageError::writableByOthers);
  if (!record.matches(st_)) return Outcome::fail(MessageError::changed);
  if (const int error = sys::openRead(dir, name, fd_); error != 0) return sourceFailure(error, "openat2");
  return {};
}

Outcome Source::read(Buffer& buffer) {
  if (static_cast<std::uint64_t>(st_.st_size) >= kMessageLimit) return sourceFailure(EFBIG, "read");
  const auto size = static_cast<std::size_t>(st_.st_size);
  const Outcome got = size > kMapAbove ? mapWhole(size, buffer) : readWhole(size, buffer);
  return got.ok() ? check() : got;
}

Outcome Source::readWhole(std::size_t size, Buffer& buffer) {
  // One byte more than the size: a file that grew shows itself, and the end needs no second call.
  const std::span<std::uint8_t> into = buffer.take(size + 1);
  std::size_t got = 0;
  // Whatever the reason that this gave less than the file (not cached, not supported), the plain read tells.
  const int cached = sys::readCached(fd_.get(), into, got);
  cold_ = cached == EAGAIN || (cached == 0 && got < size);
  if (cached != 0 || got < size) {
    std::size_t more = 0;
    if (const int error = sys::readFull(fd_.get(), into.subspan(got), more); error != 0) {
      return sourceFailure(error, "read");
    }
    got += more;
  }
  if (got != size) return Outcome::fail(MessageError::changed);
  bytes_ = into.first(size);
  return {};
}

// Giant messages are mapped, so that their memory can be taken back. They are read before: a file that is shorter
// than it says, or a disk error, then has its own errno.
Outcome Source::mapWhole(std::size_t size, Buffer& buffer) {
  const std::span<std::uint8_t> piece = buffer.take(kPieceBytes);
  for (std::uint64_t at = 0; at < size;) {
    std::size_t got = 0;
    if (const int error = sys::readAt(fd_.get(), piece, at, got); error != 0) return sourceFailure(error, "pread");
    if (got == 0) return Outcome::fail(MessageError::changed);
    at += got;
  }
  if (const int error = mapping_.map(fd_.get(), size); error != 0) return sourceFailure(error, "mmap");
  bytes_ = mapping_.bytes();
  return {};
}

Outcome Source::check() noexcept {
  struct stat now {};
  if (const int error = sys::statFd(fd_.get(), now); error != 0) return sourceFailure(error, "fstat");
  const bool same = now.st_dev == st_.st_dev && record_.matches(now) && S_ISREG(now.st_mode) &&
                    now.st_uid == st_.st_uid && (now.st_mode & S_IWOTH) == (st_.st_mode & S_IWOTH);
  if (!same) return Outcome::fail(MessageError::changed);
  if (mapping_.isBroken()) return sourceFailure(EIO, "mmap");
  st_ = now;
  return {};
}

}  // namespace mailhaul::engine
