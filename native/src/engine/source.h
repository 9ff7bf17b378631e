// The 3.x side: opens one message file, decides whether it may be migrated, and reads it once.
//
// A file is taken only if, after it was read, the open file is the one of the migration record (inode, size, time), is
// regular and has an owner and a mode that the rules allow: then the bytes in hand are the bytes of the file that gets
// linked. One look is enough, and a system call less a message. What the scan saw to be no regular file is never
// opened; what is put in a message's place after that is opened without blocking, and nothing that was read of it is
// used.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/buffer.h"
#include "engine/types.h"
#include "sys/fd.h"
#include "sys/mapping.h"

namespace mailhaul::engine {

/// IMAP counts the octets of a message in 32 bits (RFC 3501 9, number); one of so many bytes is refused.
inline constexpr std::uint64_t kMessageLimit = std::uint64_t{1} << 32;

/// NAME_MAX of Linux file systems, and the NUL.
using NameBuffer = std::array<char, 256>;

/// Copies a 3.x file name for a system call; null for one that cannot be a message file (3x-profile.md, ".mailbox":
/// empty, with `/` or NUL, or a leading `.`).
[[nodiscard]] const char* fileName(std::string_view name, NameBuffer& buffer) noexcept;

/// What the migration record says a file is.
struct Identity {
  std::uint64_t inode = 0;
  double size = 0;
  std::int64_t mtime = 0;

  [[nodiscard]] bool matches(const struct stat& st) const noexcept;
};

[[nodiscard]] Identity recordOf(const MessageTable& messages, std::size_t i) noexcept;

struct SourceRules {
  uid_t owner = 0;
  bool takeForeign = false;
};

/// An opened message file of the 3.x folder.
class Source {
 public:
  /// Opens `name`. What cannot be opened is looked at, and fails for what it is.
  [[nodiscard]] Outcome open(int dir, const char* name, const Identity& record, const SourceRules& rules) noexcept;

  /// The whole file, and no more, was read into memory that stays as long as this is open: read() has that to check.
  void wasRead(std::span<const std::uint8_t> bytes, bool cold) noexcept {
    ahead_ = bytes;
    cold_ = cold;
  }
  /// Reads the whole file into `buffer`, or maps it, and checks it: `bytes()` are there. Throws std::bad_alloc.
  [[nodiscard]] Outcome read(Buffer& buffer);

  /// read() may be called once more.
  [[nodiscard]] bool rewind() const noexcept;

  /// Looks at the open file: MSG_CHANGED when it is not the one of the record, MSG_NOT_REGULAR, MSG_FOREIGN_OWNER or
  /// MSG_WRITABLE_BY_OTHERS when the rules refuse it, MSG_UNREADABLE when a part of it got lost. `st()` is of now.
  [[nodiscard]] Outcome check() noexcept;

  void close() noexcept {
    mapping_.reset();
    fd_.reset();
  }

  [[nodiscard]] bool isOpen() const noexcept { return fd_.isOpen(); }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Of the last check(); nothing before.
  [[nodiscard]] const struct stat& st() const noexcept { return st_; }
  /// Of another account or writable by others: it is copied, its inode never becomes a 4.x file.
  [[nodiscard]] bool isForeign() const noexcept { return foreign_; }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept { return bytes_; }
  /// bytes() are those of the file itself: what was found in them counts only after a check().
  [[nodiscard]] bool isMapped() const noexcept { return mapping_.isMapped(); }
  /// The file had to be read from the disk.
  [[nodiscard]] bool wasCold() const noexcept { return cold_; }

 private:
  [[nodiscard]] Outcome judge(const struct stat& st) const noexcept;
  [[nodiscard]] Outcome insteadOf(const Outcome& failure) noexcept;
  [[nodiscard]] Outcome readWhole(std::size_t size, Buffer& buffer);
  [[nodiscard]] Outcome mapWhole(std::size_t size, Buffer& buffer);
  [[nodiscard]] bool mapCached(std::size_t size) noexcept;

  sys::Fd fd_;
  sys::Mapping mapping_;
  struct stat st_ {};
  Identity record_;
  SourceRules rules_;
  bool foreign_ = false;
  bool cold_ = false;
  std::span<const std::uint8_t> bytes_;
  std::span<const std::uint8_t> ahead_;
};

}  // namespace mailhaul::engine
