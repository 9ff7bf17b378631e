// The 4.x side: hash directories of one mailbox and the files in them (docs/formats/partition.md, "<nn>").
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "engine/buffer.h"
#include "engine/types.h"
#include "sys/fd.h"

namespace mailhaul::engine {

/// A number as a NUL-terminated file name.
using ShortName = std::array<char, 32>;

/// `<nn>`: floor(uid / 100) in decimal, at least two digits.
[[nodiscard]] ShortName hashDirectoryName(std::uint32_t uid) noexcept;
/// `<uid>.msg`.
[[nodiscard]] ShortName messageFileName(std::uint32_t uid) noexcept;
/// `.new-<uid>`: the temporary name of a message file where there is no O_TMPFILE.
[[nodiscard]] ShortName temporaryName(std::uint32_t uid) noexcept;

/// Opens, and makes, the hash directories of one mailbox; keeps those in use open.
class HashDirectories {
 public:
  /// @param isNew nothing is in the mailbox yet
  HashDirectories(int mailboxFd, const Owner& owner, bool isNew) noexcept
      : mailboxFd_(mailboxFd), owner_(owner), isNew_(isNew) {}

  /// The directory of `uid`; the descriptor stays valid until the next call.
  [[nodiscard]] Outcome open(std::uint32_t uid, int& fd) noexcept;

  /// Closes what is kept open; false when nothing was.
  bool closeAll() noexcept;

  /// So many are kept open where the process may have `files` open: heldDirectories of src/engine/heldDirectories.ts,
  /// by which a run reckons.
  [[nodiscard]] static std::size_t mostOpen(std::size_t files) noexcept;

 private:
  // Messages come in inode order, so the directories of a slice of some 4,000 uids (41 when dense) are met in any
  // order. Twice the gaps still fit; a sparser folder opens its directories again.
  static constexpr std::size_t kOpen = 96;
  static constexpr std::size_t kLeastOpen = 8;
  struct Slot {
    sys::Fd fd;
    std::uint32_t number = 0;
  };

  [[nodiscard]] Outcome fill(Slot& slot, std::uint32_t uid) noexcept;
  [[nodiscard]] bool isFull() noexcept;
  void close(Slot& slot) noexcept;
  [[nodiscard]] int openOrMake(const char* name, sys::Fd& out) noexcept;
  [[nodiscard]] Outcome own(int fd) noexcept;

  int mailboxFd_;
  Owner owner_;
  bool isNew_;
  std::optional<dev_t> device_;  ///< of the mailbox directory, once it was looked at
  std::array<Slot, kOpen> slots_;
  std::size_t open_ = 0;  ///< of the slots
  std::size_t most_ = 0;  ///< that may be open; 0: nobody has asked yet
};

/// True in `equal` when the open file has exactly this content. Returns 0 or the errno of reading it.
/// Throws std::bad_alloc.
[[nodiscard]] int sameContent(int fd, std::span<const std::uint8_t> content, Buffer& buffer, bool& equal);

/// Writes `content` over itself, into an open file that holds it already. A file of an earlier attempt may be whole in
/// the page cache only: when the disk refuses its pages, the kernel tells one sync, and keeps them as if they were
/// written. Written again, they are the next sync's to write or to report. `written` is false when the file cannot be
/// opened for writing: then another one is made in its place. Returns 0 or errno.
[[nodiscard]] int writeAgain(int fd, std::span<const std::uint8_t> content, bool& written) noexcept;

/// Inodes whose content this run has written.
class WrittenInodes {
 public:
  [[nodiscard]] bool has(const struct stat& st) const { return inodes_.contains({st.st_dev, st.st_ino}); }
  /// Throws std::bad_alloc.
  void add(const struct stat& st);
  void clear() noexcept { inodes_.clear(); }

 private:
  std::set<std::pair<dev_t, ino_t>> inodes_;
};

}  // namespace mailhaul::engine
