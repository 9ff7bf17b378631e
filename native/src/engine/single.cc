#include "engine/single.h"

#include <errno.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>

#include "sys/calls.h"

namespace mailhaul::engine {
namespace {

using Key = std::array<char, 128>;

Key keyOf(const struct stat& source, const hash::Digest& digest) noexcept {
  Key key{};
  int at = std::snprintf(key.data(), key.size(), "%ju-%ju-%ju-", static_cast<std::uintmax_t>(source.st_dev),
                         static_cast<std::uintmax_t>(source.st_ino), static_cast<std::uintmax_t>(source.st_size));
  for (const std::uint8_t byte : digest) {
    at += std::snprintf(key.data() + at, key.size() - static_cast<std::size_t>(at), "%02x", unsigned{byte});
  }
  return key;
}

/// A name for a file without O_TMPFILE that no other thread or process uses now.
ShortName uniqueTemporary() noexcept {
  static std::atomic<std::uint32_t> counter{0};
  ShortName name{};
  std::snprintf(name.data(), name.size(), ".new-%d-%u", static_cast<int>(::getpid()), counter.fetch_add(1));
  return name;
}

// Other threads register, fill up and replace the same copy meanwhile; each round somebody got further.
constexpr int kRounds = 64;

}  // namespace

bool SingleCopies::isRegistered(const struct stat& source, const hash::Digest& digest) const noexcept {
  struct stat st {};
  return sys::statAt(registryFd_, keyOf(source, digest).data(), st) == 0;
}

Outcome SingleCopies::place(const struct stat& source, const hash::Digest& digest,
                            std::span<const std::uint8_t> content, const Fill& fill, int dir, const char* name,
                            bool& there) {
  there = false;
  const Key key = keyOf(source, digest);
  for (int round = 0; round < kRounds; ++round) {
    sys::Fd shared;
    bool usable = false;
    int error = openRegistered(key.data(), content, shared, usable);
    if (error != 0 && error != ENOENT) return targetFailure(error, "openat");
    if (error == 0 && usable) {
      error = sys::linkFd(shared.get(), dir, name);
      there = error == 0;
      if (there) return {};
      if (error == ENOENT) continue;  // another thread took the copy away just now
      if (error != EMLINK) return targetFailure(error, "linkat");
    }
    if (error != ENOENT) {
      // Full, or left without its data by a power loss: later folders get a new one.
      error = sys::unlinkAt(registryFd_, key.data());
      if (error != 0 && error != ENOENT) return targetFailure(error, "unlinkat");
    }
    NewFile file;
    if (const Outcome made = file.create(registryFd_, uniqueTemporary().data(), owner_); !made.ok()) return made;
    if (const Outcome filled = fill(file); !filled.ok()) return filled;
    error = file.link(registryFd_, key.data());
    if (error == EEXIST) continue;  // another thread was faster: share its copy
    if (error != 0) return targetFailure(error, "linkat");
    error = file.link(dir, name);
    if (error != 0) return targetFailure(error, "linkat");
    struct stat made {};
    if (sys::statFd(file.fd(), made) == 0) written_.add(made);
    return {};
  }
  return targetFailure(EAGAIN, "linkat");
}

int SingleCopies::openRegistered(const char* key, std::span<const std::uint8_t> content, sys::Fd& out, bool& usable) {
  struct stat st {};
  if (const int error = sys::statAt(registryFd_, key, st); error != 0) return error;
  usable = false;
  // Anything else under this name was not registered by us: it is not opened, and replaced.
  if (!S_ISREG(st.st_mode)) return 0;
  if (const int error = sys::openRead(registryFd_, key, out); error != 0) return error;
  if (const int error = sys::statFd(out.get(), st); error != 0) return error;
  if (!S_ISREG(st.st_mode) || st.st_uid != owner_.uid || (st.st_mode & 07777) != 0600) return 0;
  if (const int error = sameContent(out.get(), content, compare_, usable); error != 0 || !usable) return error;
  if (written_.has(st)) return 0;
  // Of an earlier run, or of another thread or process, whose sync may fail.
  const int error = writeAgain(out.get(), content, usable);
  if (error == 0 && usable) written_.add(st);
  return error;
}

}  // namespace mailhaul::engine
