#include "scan/glance.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <span>

#include "scan/dirents.h"
#include "sys/calls.h"

namespace mailhaul::scan {
namespace {

/// Where the file system does not tell in the listing it is asked; `failed` keeps an error.
bool isDirectory(int dir, const Dirent& entry, int& failed) {
  if (entry.type != DT_UNKNOWN) return entry.type == DT_DIR;
  struct stat st {};
  if (const int error = sys::statAt(dir, entry.name.data(), st); error != 0) failed = error;
  return S_ISDIR(st.st_mode);
}

void noteFile(const Dirent& entry, Glance& out) {
  for (std::size_t i = 0; i < kSmallFiles.size(); ++i) {
    if (entry.name == kSmallFiles[i]) out.files[i] = entry.type == DT_REG ? Seen::here : Seen::other;
  }
}

}  // namespace

Seen glance(int dir, const char* name, Glance& out) {
  if (name != nullptr && sys::openListed(dir, name, out.opened) != 0) return Seen::other;
  const int fd = name == nullptr ? dir : out.opened.get();
  struct stat st {};
  if (sys::statFd(fd, st) != 0 || (name == nullptr && sys::rewind(fd) != 0)) return Seen::other;
  out.device = st.st_dev;
  out.inode = st.st_ino;
  int failed = 0;
  const int error = eachDirent(fd, [&](const Dirent& entry) {
    if (entry.name[0] == '.') return noteFile(entry, out);
    if (!isDirectory(fd, entry, failed)) {
      out.strays = true;
      return;
    }
    if (!out.directories.empty()) out.directories.push_back('/');
    out.directories.append(entry.name);
  });
  return error == 0 && failed == 0 ? Seen::here : Seen::other;
}

Seen head(int dir, const char* name, bool seen, std::size_t most, Head& out) {
  struct stat st {};
  // A fifo or device must not even be opened: looked at first, or seen in the listing, and again when it is open.
  const int error = seen ? 0 : sys::statAt(dir, name, st);
  if (error != 0) return error == ENOENT ? Seen::absent : Seen::other;
  sys::Fd fd;
  if ((!seen && !S_ISREG(st.st_mode)) || sys::isRoot() || sys::openLooked(dir, name, fd) != 0) return Seen::other;
  if (sys::statFd(fd.get(), st) != 0 || !S_ISREG(st.st_mode)) return Seen::other;
  out.size = static_cast<std::uint64_t>(st.st_size);
  out.bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(out.size, most)));
  std::size_t got = 0;
  const std::span<std::uint8_t> into(reinterpret_cast<std::uint8_t*>(out.bytes.data()), out.bytes.size());
  // Where less than its size comes it was cut meanwhile.
  return sys::readFull(fd.get(), into, got) == 0 && got == into.size() ? Seen::here : Seen::other;
}

}  // namespace mailhaul::scan
