#include "engine/target.h"

#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "sys/calls.h"

namespace mailhaul::engine {
namespace {

constexpr std::uint32_t kMessagesPerDirectory = 100;
constexpr mode_t kDirectoryMode = 0700;
constexpr std::size_t kCompareBytes = std::size_t{256} << 10;
constexpr std::size_t kWrittenKept = 65'536;
/// A thread has this share of the files that may be open for its hash directories.
constexpr std::size_t kShareOfFiles = 64;

/// `before`, the number in decimal, `after`. Each message needs one, and snprintf takes hundreds of
/// instructions.
ShortName shortName(std::string_view before, std::uint32_t number, std::string_view after) noexcept {
  ShortName name{};
  char* const digits = std::copy(before.begin(), before.end(), name.begin());
  char* const end = std::to_chars(digits, name.data() + name.size(), number).ptr;
  std::copy(after.begin(), after.end(), end);
  return name;
}

}  // namespace

ShortName hashDirectoryName(std::uint32_t uid) noexcept {
  const std::uint32_t number = uid / kMessagesPerDirectory;
  return shortName(number < 10 ? "0" : "", number, "");
}

ShortName messageFileName(std::uint32_t uid) noexcept { return shortName("", uid, ".msg"); }

ShortName temporaryName(std::uint32_t uid) noexcept { return shortName(".new-", uid, ""); }

Outcome HashDirectories::open(std::uint32_t uid, int& fd) noexcept {
  const std::uint32_t number = uid / kMessagesPerDirectory;
  Slot& slot = slots_[number % kOpen];
  if (!slot.fd.isOpen() || slot.number != number) {
    if (const Outcome opened = fill(slot, uid); !opened.ok()) return opened;
  }
  fd = slot.fd.get();
  return {};
}

Outcome HashDirectories::fill(Slot& slot, std::uint32_t uid) noexcept {
  close(slot);
  if (isFull()) closeAll();
  const ShortName name = hashDirectoryName(uid);
  if (const int error = openOrMake(name.data(), slot.fd); error != 0) return targetFailure(error, "mkdirat");
  ++open_;
  slot.number = uid / kMessagesPerDirectory;
  const Outcome owned = own(slot.fd.get());
  if (!owned.ok()) close(slot);
  return owned;
}

int HashDirectories::openOrMake(const char* name, sys::Fd& out) noexcept {
  // One that is there all the same is opened as it is.
  const int error = isNew_ ? ENOENT : sys::openDirectory(mailboxFd_, name, out);
  if (error != ENOENT) return error;
  if (const int made = sys::makeDirectory(mailboxFd_, name, kDirectoryMode); made != 0 && made != EEXIST) return made;
  return sys::openDirectory(mailboxFd_, name, out);
}

// Also of a directory that exists: an earlier attempt may have been stopped between mkdir and chown. One on which
// another file system is mounted is refused: what makes the folder durable is the sync of the mailbox directory's.
Outcome HashDirectories::own(int fd) noexcept {
  struct stat st {};
  if (const int error = sys::statFd(fd, st); error != 0) return targetFailure(error, "fstat");
  if (!device_) {
    struct stat mailbox {};
    if (const int error = sys::statFd(mailboxFd_, mailbox); error != 0) return targetFailure(error, "fstat");
    device_ = mailbox.st_dev;
  }
  if (st.st_dev != *device_) return targetFailure(EXDEV, "openat2");
  if (owner_.set && (st.st_uid != owner_.uid || st.st_gid != owner_.gid)) {
    if (const int error = sys::changeOwner(fd, owner_.uid, owner_.gid); error != 0) {
      return targetFailure(error, "fchown");
    }
  }
  if ((st.st_mode & 07777) != kDirectoryMode) {
    if (const int error = sys::changeMode(fd, kDirectoryMode); error != 0) return targetFailure(error, "fchmod");
  }
  return {};
}

std::size_t HashDirectories::mostOpen(std::size_t files) noexcept {
  return std::clamp(files / kShareOfFiles, kLeastOpen, kOpen);
}

// The limit is asked for only where it may matter: nearly all folders have fewer directories.
bool HashDirectories::isFull() noexcept {
  if (open_ < kLeastOpen) return false;
  if (most_ == 0) most_ = mostOpen(sys::mostFiles());
  return open_ >= most_;
}

void HashDirectories::close(Slot& slot) noexcept {
  if (!slot.fd.isOpen()) return;
  slot.fd.reset();
  --open_;
}

bool HashDirectories::closeAll() noexcept {
  const bool any = open_ > 0;
  for (Slot& slot : slots_) close(slot);
  return any;
}

int sameContent(int fd, std::span<const std::uint8_t> content, Buffer& buffer, bool& equal) {
  equal = false;
  struct stat st {};
  if (const int error = sys::statFd(fd, st); error != 0) return error;
  if (static_cast<std::uint64_t>(st.st_size) != content.size()) return 0;
  const std::span<std::uint8_t> piece = buffer.take(kCompareBytes);
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t want = std::min(piece.size(), content.size() - at);
    std::size_t got = 0;
    if (const int error = sys::readAt(fd, piece.first(want), at, got); error != 0) return error;
    if (got != want || std::memcmp(piece.data(), content.data() + at, want) != 0) return 0;
    at += want;
  }
  equal = true;
  return 0;
}

int writeAgain(int fd, std::span<const std::uint8_t> content, bool& written) noexcept {
  written = false;
  sys::Fd writable;
  const int opened = sys::reopenForWriting(fd, writable);
  if (opened == EACCES || opened == EPERM || opened == ENOENT || opened == ETXTBSY) return 0;
  if (opened != 0) return opened;
  if (const int error = sys::writeAllAt(writable.get(), content, 0); error != 0) return error;
  written = true;
  return sys::syncfsTells() ? 0 : sys::syncFile(writable.get());
}

void WrittenInodes::add(const struct stat& st) {
  // What is forgotten is written once more.
  if (inodes_.size() >= kWrittenKept) inodes_.clear();
  inodes_.emplace(st.st_dev, st.st_ino);
}

}  // namespace mailhaul::engine
