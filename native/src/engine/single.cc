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

Outcome SingleCopies::place(Source& source, const hash::Digest& digest, std::span<const std::uint8_t> content,
                            const Fill& fill, int dir, const char* name, bool& there) {
  there = false;
  const Key key = keyOf(source.st(), digest);
  for (int round = 0; round < kRounds; ++round) {
    sys::Fd shared;
    Registered found = Registered::none;
    if (const Outcome looked = openRegistered(key.data(), source, content, shared, found); !looked.ok()) return looked;
    if (found == Registered::usable) {
      const int error = sys::linkFd(shared.get(), dir, name);
      there = error == 0;
      if (there) return {};
      if (error == ENOENT) continue;  // another thread took the copy away just now
      if (error != EMLINK) return targetFailure(error, "linkat");
    }
    if (found != Registered::none) {
      // Full, lost on a bad block, or left without its data by a power loss: later folders get a new one.
      const int error = sys::unlinkAt(registryFd_, key.data());
      if (error != 0 && error != ENOENT) return targetFailure(error, "unlinkat");
    }
    NewFile file;
    if (const Outcome made = file.create(registryFd_, uniqueTemporary().data(), owner_); !made.ok()) return made;
    if (const Outcome filled = fill(file); !filled.ok()) return filled;
    int error = file.link(registryFd_, key.data());
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

// A copy that cannot be read is replaced, as one with another content: what it should hold is at hand.
Outcome SingleCopies::openRegistered(const char* key, Source& source, std::span<const std::uint8_t> content,
                                     sys::Fd& out, Registered& found) {
  found = Registered::none;
  struct stat st {};
  int error = sys::statAt(registryFd_, key, st);
  if (error == ENOENT) return {};
  if (error != 0) return targetFailure(error, "fstatat");
  found = Registered::unusable;
  // Anything else under this name was not registered by us: it is not opened, and replaced.
  if (!S_ISREG(st.st_mode)) return {};
  error = sys::openRead(registryFd_, key, out);
  if (error == ENOENT) found = Registered::none;  // another thread took it away just now
  if (error != 0) return isLacking(error) ? targetFailure(error, "openat2") : Outcome{};
  error = sys::statFd(out.get(), st);
  if (error != 0) return targetFailure(error, "fstat");
  if (!S_ISREG(st.st_mode) || st.st_uid != owner_.uid || (st.st_mode & 07777) != 0600) return {};
  bool equal = false;
  error = sameContent(out.get(), content, compare_, equal);
  if (error != 0) return isLacking(error) ? targetFailure(error, "pread") : Outcome{};
  if (!equal) return {};
  // Pages that a mapped file lost while it was compared read as zeros, which may be all that the copy is; and other
  // mailboxes have the copy, into which nothing but the message may be written.
  if (source.isMapped()) {
    if (const Outcome same = source.check(); !same.ok()) return same;
  }
  bool written = written_.has(st);
  if (!written) {
    // Of an earlier run, or of another thread or process, whose sync may fail.
    error = writeAgain(out.get(), content, written);
    if (error == EFAULT) return sourceFailure(EIO, "write");  // of a mapped source
    if (error != 0) return targetFailure(error, "write");
    if (written) written_.add(st);
  }
  if (written) found = Registered::usable;
  return {};
}

}  // namespace mailhaul::engine
