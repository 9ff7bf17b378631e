#include "plan/ready.h"

#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "sys/calls.h"
#include "sys/pace.h"

namespace mailhaul::plan {
namespace {

constexpr const char* kIndexName = ".mailbox";
constexpr const char* kLockName = ".lock";
constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kLockMode = 0600;

/// A walk of components, each of which is one.
bool isPath(std::string_view path) noexcept {
  for (std::size_t from = 0; from <= path.size();) {
    const std::size_t end = std::min(path.find('/', from), path.size());
    const std::string_view name = path.substr(from, end - from);
    if (name.empty() || name == "." || name == ".." || name.find('\0') != name.npos) return false;
    from = end + 1;
  }
  return true;
}

/// Gives what was just made exactly this mode, whatever the umask and the directory above say.
bool settleMode(int fd, mode_t mode, struct stat& made) noexcept {
  return sys::statFd(fd, made) == 0 && ((made.st_mode & 07777) == mode || sys::changeMode(fd, mode) == 0);
}

/// What is not there is made: a folder need not have one (src/source/nsms3/lock.ts). Where that fails, the long way
/// says what holds the folder instead.
bool makeLockFile(int folder, sys::Fd& out, struct stat& made) noexcept {
  return sys::createFile(folder, kLockName, kLockMode, out) == 0 && settleMode(out.get(), kLockMode, made);
}

/// Of a regular file alone: a device or fifo must not even be opened (src/fs/file.ts).
bool openLockFile(int folder, sys::Fd& out, struct stat& opened) noexcept {
  struct stat seen {};
  const int error = sys::statAt(folder, kLockName, seen);
  if (error == ENOENT) return makeLockFile(folder, out, opened);
  if (error != 0 || !S_ISREG(seen.st_mode)) return false;
  if (sys::openForLock(folder, kLockName, out) != 0 || sys::statFd(out.get(), opened) != 0) return false;
  return sys::isSameFile(seen, opened);
}

/// The name still is what was locked (src/source/nsms3/lock.ts).
bool lockFile(int folder, sys::Fd& out) noexcept {
  struct stat opened {};
  struct stat named {};
  if (!openLockFile(folder, out, opened) || sys::lockFile(out.get(), true) != 0) return false;
  return sys::statAt(folder, kLockName, named) == 0 && sys::isSameFile(named, opened);
}

/// The index that the stamp is of, a regular file then and now.
bool openIndex(int folder, const Stamp& stamp, sys::Fd& out) noexcept {
  struct stat opened {};
  return sys::openLooked(folder, kIndexName, out) == 0 && sys::statFd(out.get(), opened) == 0 &&
         S_ISREG(opened.st_mode) && opened.st_dev == stamp.device && opened.st_ino == stamp.indexInode;
}

/// The columns that planPlain takes.
struct Columns {
  explicit Columns(const scan::Scan& found) {
    offsets.reserve(found.rows.size() + 1);
    offsets.push_back(0);
    for (const scan::Row& row : found.rows) {
      const char* name = found.listing.name(row.entry);
      names.insert(names.end(), name, name + row.entry.nameBytes);
      offsets.push_back(static_cast<std::uint32_t>(names.size()));
      sizes.push_back(row.size);
      modes.push_back(row.mode);
      uids.push_back(row.uid);
    }
  }

  [[nodiscard]] ScanColumns view() const noexcept { return {names, offsets, sizes, modes, uids}; }

  std::vector<std::uint8_t> names;
  std::vector<std::uint32_t> offsets;
  std::vector<double> sizes;
  std::vector<std::uint32_t> modes;
  std::vector<std::uint32_t> uids;
};

/// The time since it was made or asked last.
class Watch {
 public:
  [[nodiscard]] std::uint64_t lap() noexcept {
    const auto now = std::chrono::steady_clock::now();
    const auto taken = std::chrono::nanoseconds(now - std::exchange(began_, now));
    return static_cast<std::uint64_t>(taken.count());
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

bool read(const Wanted& wanted, Ready& out) {
  Watch watch;
  if (scan::scanOwn(out.source.get(), out.found) != 0) return false;
  out.scanNs = watch.lap();
  for (const scan::Row& row : out.found.rows) {
    if (row.error != 0) return false;
  }
  sys::Fd index;
  if (!openIndex(out.source.get(), out.stamp, index)) return false;
  const Columns columns(out.found);
  std::optional<Plain> plain = planPlain(index.get(), columns.view(), wanted.rules, wanted.key);
  if (!plain.has_value()) return false;
  out.plain = std::move(*plain);
  out.planNs = watch.lap();
  return out.columnBytes() <= wanted.room;
}

bool makeDirectory(int parent, const char* name, sys::Fd& out, struct stat& made) noexcept {
  if (sys::makeDirectory(parent, name, kDirectoryMode) != 0 || sys::openDirectory(parent, name, out) != 0) return false;
  return settleMode(out.get(), kDirectoryMode, made);
}

/// Makes the last directory of the path, and those on the way to it that are not there; one that is there already had
/// an attempt before (src/upgrade/emptied.ts).
bool makeTarget(const Wanted& wanted, Ready& out) {
  sys::Fd parent;
  std::string_view missing = wanted.target;
  std::size_t end = wanted.target.rfind('/');
  for (; end != std::string::npos; end = end == 0 ? std::string::npos : wanted.target.rfind('/', end - 1)) {
    sys::countOperation();
    if (sys::openDirectoryBelow(wanted.targetRoot, wanted.target.substr(0, end).c_str(), parent) == 0) break;
  }
  if (end != std::string::npos) missing.remove_prefix(end + 1);
  struct stat made {};
  while (!missing.empty()) {
    const std::size_t length = std::min(missing.find('/'), missing.size());
    const std::string name(missing.substr(0, length));
    missing.remove_prefix(std::min(length + 1, missing.size()));
    sys::Fd next;
    if (!makeDirectory(parent.isOpen() ? parent.get() : wanted.targetRoot, name.c_str(), next, made)) return false;
    parent = std::move(next);
  }
  out.device = made.st_dev;
  out.target = std::move(parent);
  return sys::lockFile(out.target.get(), true) == 0;
}

/// Puts columns one behind the other.
class Pen {
 public:
  explicit Pen(std::span<std::uint8_t> out) noexcept : out_(out) {}

  template <typename T>
  void put(T value) noexcept {
    std::memcpy(out_.data() + at_, &value, sizeof value);
    at_ += sizeof value;
  }
  template <typename T>
  void put(const std::vector<T>& values) noexcept {
    bytes(values.data(), values.size() * sizeof(T));
  }
  void bytes(const void* data, std::size_t count) noexcept {
    if (count > 0) std::memcpy(out_.data() + at_, data, count);
    at_ += count;
  }
  void zeros(std::size_t count) noexcept {
    if (count > 0) std::memset(out_.data() + at_, 0, count);
    at_ += count;
  }

 private:
  std::span<std::uint8_t> out_;
  std::size_t at_ = 0;
};

}  // namespace

std::size_t Ready::columnBytes() const noexcept {
  const std::size_t count = plain.files.size();
  return count * (4 * 8 + 2 * 4 + 1) + (count + 1) * 8 + plain.keywordRefs.size() * 4 + plain.nameBytes;
}

void Ready::writeColumns(std::span<std::uint8_t> out) const noexcept {
  const auto row = [&](std::uint32_t file) -> const scan::Row& { return found.rows[file]; };
  Pen pen(out);
  for (const std::uint32_t file : plain.files) pen.put(row(file).entry.inode);
  for (const std::uint32_t file : plain.files) pen.put(row(file).mtime);
  for (const std::uint32_t file : plain.files) pen.put(row(file).size);
  pen.put(plain.dates);
  pen.put(plain.uids);
  pen.put(plain.flags);
  pen.put(plain.keywordOffsets);
  std::uint32_t end = 0;
  pen.put(end);
  for (const std::uint32_t file : plain.files) pen.put(end += row(file).entry.nameBytes);
  pen.put(plain.keywordRefs);
  pen.zeros(plain.files.size());
  for (const std::uint32_t file : plain.files) {
    pen.bytes(found.listing.name(row(file).entry), row(file).entry.nameBytes);
  }
}

bool stampOf(int folder, Stamp& out) noexcept {
  struct stat index {};
  struct stat directory {};
  const int error = sys::statAt(folder, kIndexName, index);
  if ((error != 0 && error != ENOENT) || sys::statFd(folder, directory) != 0) return false;
  out = {directory.st_dev, sys::modifiedNs(directory), 0, 0, false};
  if (error == 0) {
    out.indexInode = index.st_ino;
    out.indexModified = sys::modifiedNs(index);
    out.indexIsFile = S_ISREG(index.st_mode);
  }
  return true;
}

bool makeReady(const Wanted& wanted, Ready& out) {
  // What root may open and must give away is src/fs/ownedFile.ts's and dir.ts's to say.
  if (sys::isRoot() || !isPath(wanted.source) || !isPath(wanted.target)) return false;
  sys::countOperation();
  if (sys::openListedBelow(wanted.sourceRoot, wanted.source.c_str(), out.source) != 0) return false;
  return sys::lockFile(out.source.get(), true) == 0 && lockFile(out.source.get(), out.lock) &&
         stampOf(out.source.get(), out.stamp) && out.stamp.indexIsFile && read(wanted, out) && makeTarget(wanted, out);
}

}  // namespace mailhaul::plan
