#include "engine/source.h"

#include <errno.h>

#include <cstring>

#include "sys/calls.h"
#include "sys/pace.h"

namespace mailhaul::engine {
namespace {

/// Larger messages are mapped instead of read into memory.
constexpr std::size_t kMapAbove = std::size_t{32} << 20;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
/// So are those of at least so many bytes that are in the page cache: a copy that does not fit into the processor's own
/// cache costs more than the pages' entries in the table. It turns between 1 and 2 MiB (docs/benchmark.md, "Large
/// messages").
constexpr std::size_t kMapCachedFrom = std::size_t{2} << 20;

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
  rules_ = rules;
  cold_ = false;
  ahead_ = {};
  st_ = {};
  const int error = sys::openMessage(dir, name, fd_);
  if (error == 0) return {};
  // A link (ELOOP), a socket (ENXIO), a file of another account (EACCES): what it is tells more than the errno.
  struct stat found {};
  if (const int looked = sys::statAt(dir, name, found); looked != 0) return sourceFailure(looked, "fstatat");
  if (const Outcome refused = judge(found); !refused.ok()) return refused;
  // A file of another account that is taken all the same: read with its access time. No other is read at all.
  if (error != EPERM) return sourceFailure(error, "openat2");
  const int opened = sys::openRead(dir, name, fd_);
  return opened == 0 ? Outcome{} : sourceFailure(opened, "openat2");
}

Outcome Source::judge(const struct stat& st) const noexcept {
  if (!S_ISREG(st.st_mode)) return Outcome::fail(MessageError::notRegular);
  if (!rules_.takeForeign && st.st_uid != rules_.owner) return Outcome::fail(MessageError::foreignOwner);
  if (!rules_.takeForeign && (st.st_mode & S_IWOTH) != 0) return Outcome::fail(MessageError::writableByOthers);
  return record_.matches(st) ? Outcome{} : Outcome::fail(MessageError::changed);
}

Outcome Source::read(Buffer& buffer) {
  if (record_.size >= static_cast<double>(kMessageLimit)) return insteadOf(sourceFailure(EFBIG, "read"));
  const auto size = static_cast<std::size_t>(record_.size);
  if (size > 0 && ahead_.size() == size) {
    sys::countBytes(size);
    bytes_ = ahead_;
    return check();
  }
  if (size >= kMapCachedFrom && mapCached(size)) return check();
  const Outcome got = size > kMapAbove ? mapWhole(size, buffer) : readWhole(size, buffer);
  return got.ok() ? check() : insteadOf(got);
}

// A directory that cannot be read, a fifo that ends at once: what the file is says more than how reading it went.
Outcome Source::insteadOf(const Outcome& failure) noexcept {
  if (failure.halt != nullptr) return failure;
  const Outcome now = check();
  return now.ok() || now.halt != nullptr ? failure : now;
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

// False: it is to be read, which is faster where it has to come from the disk, and tells what is wrong with it.
bool Source::mapCached(std::size_t size) noexcept {
  // A limit holds for what is in memory too, piece by piece.
  if (sys::isPaced() || !sys::isCached(fd_.get(), size - 1)) return false;
  if (mapping_.map(fd_.get(), size) != 0) return false;
  if (mapping_.populate() != 0) {
    mapping_.reset();
    return false;
  }
  sys::countBytes(size);
  bytes_ = mapping_.bytes();
  return true;
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

bool Source::rewind() const noexcept { return sys::rewind(fd_.get()) == 0; }

Outcome Source::check() noexcept {
  struct stat now {};
  if (const int error = sys::statFd(fd_.get(), now); error != 0) return sourceFailure(error, "fstat");
  if (const Outcome judged = judge(now); !judged.ok()) return judged;
  if (mapping_.isBroken()) return sourceFailure(EIO, "mmap");
  st_ = now;
  foreign_ = now.st_uid != rules_.owner || (now.st_mode & S_IWOTH) != 0;
  return {};
}

}  // namespace mailhaul::engine
