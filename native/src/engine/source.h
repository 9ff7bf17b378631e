// The 3.x side: opens one message file, decides whether it may be migrated, and reads it once.
//
// A file is taken only if it is the one of the migration record (inode, size, time) before it is opened and still is
// after it was read, so that the bytes in hand are the bytes of the file that gets linked.
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
  /// Looks at `name` and opens it when the rules allow.
  [[nodiscard]] Outcome open(int dir, const char* name, const Identity& record, const SourceRules& rules) noexcept;

  /// Reads the whole file into `buffer` (which then holds `bytes()`), and looks again. Throws std::bad_alloc.
  [[nodiscard]] Outcome read(Buffer& buffer);

  /// Looks once more: MSG_CHANGED when the file is not what was opened, MSG_UNREADABLE when a part of it got lost.
  [[nodiscard]] Outcome check() noexcept;

  void close() noexcept {
    mapping_.reset();
    fd_.reset();
  }

  [[nodiscard]] bool isOpen() const noexcept { return fd_.isOpen(); }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const struct stat& st() const noexcept { return st_; }
  /// Of another account or writable by others: it is copied, its inode never becomes a 4.x file.
  [[nodiscard]] bool isForeign() const noexcept { return foreign_; }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept { return bytes_; }
  /// bytes() are those of the file itself: what was found in them counts only after a check().
  [[nodiscard]] bool isMapped() const noexcept { return mapping_.isMapped(); }
  /// The file had to be read from the disk.
  [[nodiscard]] bool wasCold() const noexcept { return cold_; }

 private:
  [[nodiscard]] Outcome readWhole(std::size_t size, Buffer& buffer);
  [[nodiscard]] Outcome mapWhole(std::size_t size, Buffer& buffer);

  sys::Fd fd_;
  sys::Mapping mapping_;
  struct stat st_ {};
  Identity record_;
  bool foreign_ = false;
  bool cold_ = false;
  std::span<const std::uint8_t> bytes_;
};

}  // namespace mailhaul::engine
