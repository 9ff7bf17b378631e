#include "engine/mover.h"

#include <errno.h>

#include <algorithm>

#include "engine/readahead.h"
#include "hash/xxh3.h"
#include "mime/crlf.h"
#include "mime/parse.h"
#include "sys/calls.h"
#include "sys/pace.h"

namespace mailhaul::engine {
namespace {

/// So many messages in a row that the device cannot read are no bad blocks any more: the disk is dying.
constexpr std::uint32_t kDeadSource = 32;

}  // namespace

Mover::Mover(const Folder& folder, Scratch& scratch, Shared shared) noexcept
    : folder_(folder),
      table_(folder.messages),
      scratch_(scratch),
      shared_(shared),
      placer_(folder, scratch.compare, scratch.written),
      progress_(folder.progress) {}

bool Mover::publishes() const noexcept { return shared_.publishes(folder_); }

Outcome Mover::move(Slice& slice, bool& stopped) {
  slice_ = &slice;
  takeOrder(slice);
  ReadAhead ahead(folder_, order_, scratch_.ahead);
  for (std::size_t k = 0; k < order_.size(); ++k) {
    if (progress_.cancelled()) {
      stopped = true;
      return {};
    }
    if (shared_.over.load(std::memory_order_relaxed)) return {};
    const std::uint32_t i = order_[k];
    SampledClock clock(scratch_.messages);
    Source* source = nullptr;
    Outcome outcome = ahead.open(k, source);
    if (placer_.freeDescriptors(outcome)) outcome = ahead.openAgain(k, source);
    if (outcome.error == MessageError::vanished && folder_.resumed) outcome = reopen(i, outcome, *source);
    if (outcome.ok()) {
      outcome = moveOne(i, *source, slice, clock);
      if (outcome.lacksDescriptors() && ahead.letGo(k) && source->rewind()) {
        outcome = moveOne(i, *source, slice, clock);
      }
      scratch_.ahead.observe(source->wasCold());
    }
    source->close();
    clock.lap(slice.times.read);
    if (outcome.halt != nullptr) return outcome;
    if (!outcome.ok()) fail(i, outcome);
    if (const Outcome dead = countUnreadable(outcome); !dead.ok()) return dead;
    progress_.add(outcome.ok() ? slice.parsed[i - slice.first].facts.size : 0);
    sys::settle();
  }
  return {};
}

void Mover::takeOrder(const Slice& slice) {
  order_.clear();
  for (std::uint32_t i = slice.first; i < slice.end; ++i) {
    if (table_.refused[i] == 0) {
      order_.push_back(i);
    } else {
      fail(i, Outcome::fail(static_cast<MessageError>(table_.refused[i])));
    }
  }
  std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return table_.inodes[a] != table_.inodes[b] ? table_.inodes[a] < table_.inodes[b] : a < b;
  });
}

/// Counts unreadable messages in a row; ends the folder when there are too many.
Outcome Mover::countUnreadable(const Outcome& outcome) noexcept {
  const bool dead = outcome.error == MessageError::unreadable && isDeviceError(outcome.errorNumber);
  unreadable_ = dead ? unreadable_ + 1 : 0;
  if (unreadable_ < kDeadSource) return {};
  sourceDead_ = true;
  return {MessageError::none, outcome.errorNumber, "read"};
}

/// The 3.x name is gone, but an earlier attempt linked the very file: then nothing is missing.
Outcome Mover::reopen(std::uint32_t i, const Outcome& vanished, Source& source) {
  const Outcome earlier = placer_.openEarlier(table_.uids[i], recordOf(table_, i), source);
  return earlier.ok() || earlier.halt != nullptr ? earlier : vanished;
}

Outcome Mover::moveOne(std::uint32_t i, Source& source, Slice& slice, SampledClock& clock) {
  Parsed& parsed = slice.parsed[i - slice.first];
  parsed.cacheAt = slice.cache.size();
  Known known = nullptr;
  Method method = Method::failed;
  if (const Outcome linked = moveKnown(i, source, known, method); !linked.ok()) return linked;
  if (method == Method::failed) {
    const Outcome moved = moveRead(i, source, known, parsed, method, clock);
    scratch_.message.trim();
    if (scratch_.crlf.capacity() > Scratch::kKeepBytes) std::vector<std::uint8_t>().swap(scratch_.crlf);
    if (!moved.ok()) {
      slice.cache.resize(parsed.cacheAt);
      return moved;
    }
  } else {
    parsed.facts = known->facts;
    if (publishes()) takeEntry(*known, parsed);
  }
  clock.lap(slice.times.place);
  shared_.result.methods[i] = method;
  slice.bytes += parsed.facts.size;
  if (!publishes()) return {};
  parsed.cacheBytes = slice.cache.size() - parsed.cacheAt;
  device_ = source.st().st_dev;
  if (isShared(source) && (known == nullptr || known->facts.digest != parsed.facts.digest)) {
    const std::span<const std::uint8_t> cache = std::span(slice.cache).subspan(parsed.cacheAt);
    KnownInodes::ofProcess().remember(KnownInodes::keyOf(source.st()), parsed.facts, cache);
  }
  return {};
}

/// In a repeated attempt every message has two links; what is shared cannot be told from that.
bool Mover::isShared(const Source& source) const noexcept { return source.st().st_nlink > 1 && !folder_.resumed; }

/// What is known of the inode on record. The file is not looked at for that: most are not known.
Mover::Known Mover::findKnown(std::uint32_t i) {
  if (folder_.resumed || !KnownInodes::ofProcess().hasAny()) return nullptr;
  if (!device_) {
    struct stat st {};
    if (sys::statFd(folder_.sourceFd, st) != 0) return nullptr;
    device_ = st.st_dev;
  }
  const KnownInodes::Key key{*device_, table_.inodes[i], static_cast<std::uint64_t>(table_.sizes[i]), table_.mtimes[i]};
  return KnownInodes::ofProcess().find(key, scratch_.known) ? &scratch_.known : nullptr;
}

/// Links a further name of an inode that was read before; `method` stays `failed` when that cannot be.
Outcome Mover::moveKnown(std::uint32_t i, Source& source, Known& known, Method& method) {
  known = findKnown(i);
  if (known == nullptr) return {};
  if (const Outcome same = source.check(); !same.ok()) return same;
  if (!isShared(source) || source.st().st_dev != *device_) known = nullptr;
  if (known == nullptr || known->facts.rewritten) return {};
  return placer_.placeLink({table_.uids[i], &source, {}, false, known->facts.digest}, method);
}

/// Reads a message, adds its cache entry, and gives it its 4.x file.
Outcome Mover::moveRead(std::uint32_t i, Source& source, Known known, Parsed& parsed, Method& method,
                        SampledClock& clock) {
  if (const Outcome read = source.read(scratch_.message); !read.ok()) return read;
  clock.lap(slice_->times.read);
  Facts& facts = parsed.facts;
  std::span<const std::uint8_t> content = source.bytes();  // the CRLF form
  mime::KnownLines lines;
  if (scratch_.overview.look(content)) {
    facts.digest = scratch_.overview.digest();
    lines = scratch_.overview.lines();
  } else {
    // It is at most twice as long.
    const bool mayBeTooLong = content.size() >= kMessageLimit / 2;
    if (mayBeTooLong && mime::crlfBytes(content) >= kMessageLimit) return sourceFailure(EFBIG, "read");
    mime::toCrlfForm(source.bytes(), scratch_.crlf);
    content = scratch_.crlf;
    facts.rewritten = true;
    facts.digest = hash::digest(content);
  }
  facts.size = content.size();
  if (publishes()) describe(content, lines, known, parsed);
  clock.lap(slice_->times.parse);
  if (source.isMapped()) {
    // All of this was read after the file was looked at last.
    if (const Outcome same = source.check(); !same.ok()) return same;
  }
  return placer_.place({table_.uids[i], &source, content, facts.rewritten, facts.digest}, method);
}

void Mover::describe(std::span<const std::uint8_t> content, const mime::KnownLines& lines, Known known,
                     Parsed& parsed) {
  if (known != nullptr && known->facts.digest == parsed.facts.digest) {
    takeEntry(*known, parsed);
  } else {
    parsed.facts.headerBytes = mime::parseMessage(content, slice_->cache, lines);
  }
}

void Mover::takeEntry(const KnownInodes::Entry& known, Parsed& parsed) {
  parsed.facts.headerBytes = known.facts.headerBytes;
  slice_->cache.insert(slice_->cache.end(), known.cache.begin(), known.cache.end());
}

void Mover::fail(std::uint32_t i, const Outcome& outcome) noexcept {
  shared_.result.errors[i] = outcome.error;
  shared_.result.errorNumbers[i] = outcome.errorNumber;
  shared_.failures.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace mailhaul::engine
