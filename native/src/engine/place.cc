#include "engine/place.h"

#include <errno.h>
#include <sys/stat.h>

#include "sys/calls.h"

namespace mailhaul::engine {
namespace {

/// The source's own inode may become the 4.x file.
bool isLinkable(const Message& message) noexcept { return !message.rewritten && !message.source->isForeign(); }

/// Whether a file of the registry can be linked into the mailbox: its user may have a file system of their own.
bool isOneDevice(int registry, int mailbox) noexcept {
  struct stat a {};
  struct stat b {};
  return registry >= 0 && sys::statFd(registry, a) == 0 && sys::statFd(mailbox, b) == 0 && a.st_dev == b.st_dev;
}

/// FICLONE will not work for the next file either.
bool neverClones(int error) noexcept {
  return error == EOPNOTSUPP || error == EXDEV || error == ENOTTY || error == EINVAL || error == ENOSYS;
}

}  // namespace

Placer::Placer(const Folder& folder, Buffer& compare, WrittenInodes& written) noexcept
    : folder_(folder),
      compare_(compare),
      directories_(folder.targetFd, folder.owner, !folder.resumed),
      shared_(folder.singleFd, folder.owner, compare, written) {}

// Linked messages, nearly all of them, need no look at the registry.
bool Placer::canShare() noexcept {
  if (!canShare_) canShare_ = isOneDevice(folder_.singleFd, folder_.targetFd);
  return *canShare_;
}

Outcome Placer::place(const Message& message, Method& method) {
  const Outcome placed = placeOnce(message, method);
  return freeDescriptors(placed) ? placeOnce(message, method) : placed;
}

bool Placer::freeDescriptors(const Outcome& outcome) noexcept {
  return outcome.lacksDescriptors() && directories_.closeAll();
}

Outcome Placer::placeOnce(const Message& message, Method& method) {
  method = Method::failed;
  const ShortName name = messageFileName(message.uid);
  Spot spot{-1, name.data()};
  if (const Outcome opened = directories_.open(message.uid, spot.dir); !opened.ok()) return opened;
  return place(message, spot, method);
}

Outcome Placer::placeLink(const Message& message, Method& method) {
  // What an earlier attempt left can only be judged by the content.
  if (folder_.resumed || !mayLink(message)) return {};
  const ShortName name = messageFileName(message.uid);
  Spot spot{-1, name.data()};
  if (const Outcome opened = directories_.open(message.uid, spot.dir); !opened.ok()) {
    return freeDescriptors(opened) ? Outcome{} : opened;
  }
  return linkSource(message, spot, method);
}

bool Placer::mayLink(const Message& message) const noexcept { return isLinkable(message) && canLink_; }

Outcome Placer::place(const Message& message, const Spot& spot, Method& method) {
  if (folder_.resumed) {
    bool adopted = false;
    const Outcome earlier = adopt(message, spot, adopted);
    if (adopted) method = Method::adopted;
    if (adopted || !earlier.ok()) return earlier;
  }
  if (mayLink(message)) {
    const Outcome linked = linkSource(message, spot, method);
    if (!linked.ok() || method != Method::failed) return linked;
  }
  return make(message, spot, method);
}

// Looks at what an earlier attempt left under the target's name: the message itself stays, anything else goes. The
// folder is not published, so nothing there is the only copy of a message but what is adopted here.
Outcome Placer::adopt(const Message& message, const Spot& spot, bool& adopted) {
  struct stat st {};
  const int looked = sys::statAt(spot.dir, spot.name, st);
  if (looked == ENOENT) return {};
  if (looked != 0) return targetFailure(looked, "fstatat");
  if (S_ISDIR(st.st_mode)) return targetFailure(EISDIR, "fstatat");
  if (sys::isSameFile(st, message.source->st())) {
    if (isLinkable(message)) {
      adopted = true;
      return claim(message.source->fd(), message.source->st(), folder_.owner);
    }
    // The last name of the message itself is not taken away, whatever put it there.
    if (st.st_nlink <= 1) return targetFailure(EEXIST, "linkat");
  } else if (S_ISREG(st.st_mode)) {
    const Outcome equal = adoptEqual(message, spot, adopted);
    if (adopted || !equal.ok()) return equal;
  }
  const int removed = sys::unlinkAt(spot.dir, spot.name);
  return removed == 0 || removed == ENOENT ? Outcome{} : targetFailure(removed, "unlinkat");
}

// Adopts another inode with the same content: after a power loss a file can have its name and no data. One with further
// names is not written to: it may be another 3.x file. A shared copy is found again in its registry.
Outcome Placer::adoptEqual(const Message& message, const Spot& spot, bool& adopted) {
  sys::Fd fd;
  struct stat st {};
  // A file that cannot be read is replaced: what it should hold is at hand. What the process lacks says nothing of it.
  if (const int error = sys::openRead(spot.dir, spot.name, fd); error != 0) {
    return isLacking(error) ? targetFailure(error, "openat2") : Outcome{};
  }
  if (sys::statFd(fd.get(), st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) return {};
  // Root's own: a run that was killed before it gave the file away.
  const bool ours = !folder_.owner.set || st.st_uid == folder_.owner.uid || st.st_uid == 0;
  if (!ours) return {};
  bool equal = false;
  if (const int error = sameContent(fd.get(), message.content, compare_, equal); error != 0) {
    return isLacking(error) ? targetFailure(error, "pread") : Outcome{};
  }
  if (!equal) return {};
  // Pages that a mapped file lost while it was compared read as zeros, which may be all that the other one is.
  if (const Outcome same = message.source->check(); !same.ok()) return same;
  const Outcome claimed = claim(fd.get(), st, folder_.owner);
  // Root's, and this process is the server account by now: replaced as well.
  if (claimed.errorNumber == EPERM) return {};
  if (!claimed.ok()) return claimed;
  bool written = false;
  const int error = writeAgain(fd.get(), message.content, written);
  if (error == EFAULT) return sourceFailure(EIO, "write");  // of a mapped source
  if (error != 0) return targetFailure(error, "write");
  if (!written) return {};
  if (const Outcome same = message.source->check(); !same.ok()) return same;
  adopted = true;
  return {};
}

// Leaves `method` at `failed` when a new file has to be made instead.
Outcome Placer::linkSource(const Message& message, const Spot& spot, Method& method) {
  const int error = sys::linkFd(message.source->fd(), spot.dir, spot.name);
  switch (error) {
    case 0:
      method = Method::link;
      return claim(message.source->fd(), message.source->st(), folder_.owner);
    case EXDEV:
      canLink_ = false;
      return {};
    case EMLINK:  // the inode's link count is full
    case EPERM:   // immutable file, or a file system without hard links
    case EOPNOTSUPP:
      return {};
    case EEXIST: {
      struct stat st {};
      if (sys::statAt(spot.dir, spot.name, st) != 0 || !sys::isSameFile(st, message.source->st())) break;
      method = Method::adopted;
      return claim(message.source->fd(), message.source->st(), folder_.owner);
    }
    case ENOENT: {
      struct stat st {};
      if (sys::statFd(message.source->fd(), st) != 0 || st.st_nlink != 0) break;
      return Outcome::fail(MessageError::vanished, ENOENT);
    }
    default:
      break;
  }
  return targetFailure(error, "linkat");
}

Outcome Placer::make(const Message& message, const Spot& spot, Method& method) {
  Method how = message.rewritten ? Method::rewrite : Method::copy;
  const auto fillFile = [&](NewFile& file) { return fill(message, file, how); };
  Outcome made;
  // The last name of a shared message: `-r` has taken the others already, with the folders that were done before.
  const auto isShared = [&] {
    return message.source->st().st_nlink > 1 || shared_.isRegistered(message.source->st(), message.digest);
  };
  if (canShare() && isShared()) {
    bool there = false;
    made = shared_.place(*message.source, message.digest, message.content, fillFile, spot.dir, spot.name, there);
    if (there) how = Method::shared;
  } else {
    NewFile file;
    made = file.create(spot.dir, temporaryName(message.uid).data(), folder_.owner);
    if (made.ok()) made = fillFile(file);
    if (made.ok()) {
      if (const int error = file.link(spot.dir, spot.name); error != 0) made = targetFailure(error, "linkat");
    }
  }
  if (made.ok()) method = how;
  return made;
}

Outcome Placer::fill(const Message& message, NewFile& file, Method& method) {
  if (isLinkable(message) && canClone_ && !message.content.empty()) {
    const int error = sys::cloneFile(message.source->fd(), file.fd());
    if (error == 0) {
      method = Method::reflink;
      // The clone is of the file as it is now; it has to be what was read.
      return message.source->check();
    }
    if (!neverClones(error)) return targetFailure(error, "ioctl(FICLONE)");
    canClone_ = false;
  }
  const Outcome written = file.write(message.content);
  if (!message.source->isMapped() || (!written.ok() && written.errorNumber != EFAULT)) return written;
  // The file itself was read here, and what was written has to be what was read before.
  if (const Outcome same = message.source->check(); !same.ok()) return same;
  return written.ok() ? Outcome{} : sourceFailure(EIO, "write");
}

Outcome Placer::openEarlier(std::uint32_t uid, const Identity& record, Source& out) {
  int dir = -1;
  if (const Outcome found = directories_.open(uid, dir); !found.ok()) return found;
  const Outcome opened = out.open(dir, messageFileName(uid).data(), record, {folder_.owner.uid, false});
  // Another file than the one of the record does not make up for a name that is gone.
  return opened.ok() ? out.check() : opened;
}

}  // namespace mailhaul::engine
