#include "engine/migrate.h"

#include <errno.h>

#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "engine/knowninodes.h"
#include "engine/place.h"
#include "engine/readahead.h"
#include "engine/source.h"
#include "engine/sweep.h"
#include "hash/xxh3.h"
#include "index/writer.h"
#include "mime/crlf.h"
#include "mime/parse.h"
#include "sys/pace.h"

namespace mailhaul::engine {
namespace {

constexpr std::uint32_t kSliceMessages = 4096;
/// A slice's cache entries are held in memory until it ends; they are about as large as its messages at worst.
constexpr double kSliceBytes = 128.0 * 1024 * 1024;
constexpr std::size_t kKeepBytes = std::size_t{64} << 20;
/// So many messages in a row that the device cannot read are no bad blocks any more: the disk is dying.
constexpr std::uint32_t kDeadSource = 32;

/// A message of the current slice.
struct Parsed {
  Facts facts;
  std::size_t cacheAt = 0;  ///< of its cache entry, within Scratch::cache
  std::size_t cacheBytes = 0;
};

using Known = std::shared_ptr<const KnownInodes::Entry>;

class Migration {
 public:
  Migration(const Folder& folder, Scratch& scratch)
      : folder_(folder),
        table_(folder.messages),
        scratch_(scratch),
        placer_(folder, scratch.compare, scratch.written),
        writer_(folder.targetFd, folder.owner),
        progress_(folder.progress) {
    result_.methods.resize(table_.count, Method::failed);
    result_.errors.resize(table_.count, MessageError::none);
    result_.errorNumbers.resize(table_.count, 0);
    writer_.reserve(table_.count);
  }

  Result run() {
    try {
      steps();
    } catch (const std::bad_alloc&) {
      halting({MessageError::none, ENOMEM, "malloc"});
    }
    return std::move(result_);
  }

 private:
  void steps() {
    for (std::uint32_t first = 0; first < table_.count && going();) {
      const std::uint32_t end = sliceEnd(first);
      moveSlice(first, end);
      if (going() && publishes()) indexSlice(first, end);
      first = end;
    }
    if (going() && folder_.resumed) halting(sweep(folder_, result_.errors, writer_.isOpen()));
    if (going() && publishes()) publish();
  }

  [[nodiscard]] bool going() const noexcept { return !result_.stopped && result_.haltCall == nullptr; }
  [[nodiscard]] bool publishes() const noexcept { return failures_ == 0 || folder_.publishWithFailures; }

  /// Notes a failure that is not one of a message. A target that refuses for another reason than space ends the
  /// folder as well: without its index it cannot be published.
  void halting(const Outcome& outcome) noexcept {
    if (outcome.ok()) return;
    result_.haltError = outcome.errorNumber;
    result_.haltCall = outcome.halt != nullptr ? outcome.halt : "store.idx";
  }

  [[nodiscard]] std::uint32_t sliceEnd(std::uint32_t first) const noexcept {
    double bytes = 0;
    std::uint32_t end = first;
    while (end < table_.count && end - first < kSliceMessages && (end == first || bytes < kSliceBytes)) {
      bytes += table_.sizes[end++];
    }
    return end;
  }

  void moveSlice(std::uint32_t first, std::uint32_t end) {
    order_.clear();
    for (std::uint32_t i = first; i < end; ++i) {
      if (table_.refused[i] == 0) {
        order_.push_back(i);
      } else {
        fail(i, Outcome::fail(static_cast<MessageError>(table_.refused[i])));
      }
    }
    std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return table_.inodes[a] != table_.inodes[b] ? table_.inodes[a] < table_.inodes[b] : a < b;
    });
    parsed_.assign(end - first, Parsed{});
    scratch_.cache.clear();
    ReadAhead ahead(folder_, order_);
    for (std::size_t k = 0; k < order_.size(); ++k) {
      if (progress_.cancelled()) {
        result_.stopped = true;
        return;
      }
      const std::uint32_t i = order_[k];
      Source* source = nullptr;
      Outcome outcome = ahead.open(k, source);
      if (placer_.freeDescriptors(outcome)) outcome = ahead.openAgain(k, source);
      if (outcome.error == MessageError::vanished && folder_.resumed) outcome = reopen(i, outcome, *source);
      if (outcome.ok()) {
        outcome = move(i, *source, parsed_[i - first]);
        ahead.observe(source->wasCold());
      }
      source->close();
      if (outcome.halt != nullptr) return halting(outcome);
      if (!outcome.ok()) fail(i, outcome);
      if (sourceIsDead(outcome)) return;
      progress_.add(outcome.ok() ? parsed_[i - first].facts.size : 0);
      sys::settle();
    }
  }

  /// Counts unreadable messages in a row; ends the folder when there are too many.
  [[nodiscard]] bool sourceIsDead(const Outcome& outcome) noexcept {
    const bool dead = outcome.error == MessageError::unreadable && isDeviceError(outcome.errorNumber);
    unreadable_ = dead ? unreadable_ + 1 : 0;
    if (unreadable_ < kDeadSource) return false;
    halting({MessageError::none, outcome.errorNumber, "read"});
    result_.haltOnSource = true;
    return true;
  }

  /// The 3.x name is gone, but an earlier attempt linked the very file: then nothing is missing.
  [[nodiscard]] Outcome reopen(std::uint32_t i, const Outcome& vanished, Source& source) noexcept {
    const Outcome earlier = placer_.openEarlier(table_.uids[i], recordOf(table_, i), source);
    return earlier.ok() || earlier.halt != nullptr ? earlier : vanished;
  }

  [[nodiscard]] Outcome move(std::uint32_t i, Source& source, Parsed& parsed) {
    parsed.cacheAt = scratch_.cache.size();
    Known known;
    Method method = Method::failed;
    if (const Outcome linked = moveKnown(i, source, known, method); !linked.ok()) return linked;
    if (method == Method::failed) {
      const Outcome moved = moveRead(i, source, known, parsed, method);
      scratch_.message.trim();
      if (scratch_.crlf.capacity() > kKeepBytes) std::vector<std::uint8_t>().swap(scratch_.crlf);
      if (!moved.ok()) {
        scratch_.cache.resize(parsed.cacheAt);
        return moved;
      }
    } else {
      parsed.facts = known->facts;
      if (publishes()) takeEntry(*known, parsed);
    }
    result_.methods[i] = method;
    result_.bytes += parsed.facts.size;
    if (!publishes()) return {};
    parsed.cacheBytes = scratch_.cache.size() - parsed.cacheAt;
    if (isShared(source) && (!known || known->facts.digest != parsed.facts.digest)) {
      const std::span<const std::uint8_t> cache = std::span(scratch_.cache).subspan(parsed.cacheAt);
      KnownInodes::ofProcess().remember(KnownInodes::keyOf(source.st()),
                                        {parsed.facts, {cache.begin(), cache.end()}});
    }
    return {};
  }

  /// In a repeated attempt every message has two links; what is shared cannot be told from that.
  [[nodiscard]] bool isShared(const Source& source) const noexcept {
    return source.st().st_nlink > 1 && !folder_.resumed;
  }

  /// Links a further name of an inode that was read before; `method` stays `failed` when that cannot be.
  [[nodiscard]] Outcome moveKnown(std::uint32_t i, Source& source, Known& known, Method& method) {
    // A store without shared messages is spared the look before the read.
    if (folder_.resumed || !KnownInodes::ofProcess().hasAny()) return {};
    if (const Outcome same = source.check(); !same.ok()) return same;
    if (!isShared(source)) return {};
    known = KnownInodes::ofProcess().find(KnownInodes::keyOf(source.st()));
    if (!known || known->facts.rewritten) return {};
    return placer_.placeLink({table_.uids[i], &source, {}, false, known->facts.digest}, method);
  }

  /// Reads a message, adds its cache entry, and gives it its 4.x file.
  [[nodiscard]] Outcome moveRead(std::uint32_t i, Source& source, const Known& known, Parsed& parsed, Method& method) {
    if (const Outcome read = source.read(scratch_.message); !read.ok()) return read;
    Facts& facts = parsed.facts;
    std::span<const std::uint8_t> content = source.bytes();  // the CRLF form
    if (!mime::isCrlfForm(content)) {
      if (mime::crlfBytes(content) >= kMessageLimit) return sourceFailure(EFBIG, "read");
      mime::toCrlfForm(source.bytes(), scratch_.crlf);
      content = scratch_.crlf;
      facts.rewritten = true;
    }
    facts.size = content.size();
    facts.digest = hash::digest(content);
    if (publishes()) describe(content, known, parsed);
    if (source.isMapped()) {
      // All of this was read after the file was looked at last.
      if (const Outcome same = source.check(); !same.ok()) return same;
    }
    return placer_.place({table_.uids[i], &source, content, facts.rewritten, facts.digest}, method);
  }

  void describe(std::span<const std::uint8_t> content, const Known& known, Parsed& parsed) {
    if (known && known->facts.digest == parsed.facts.digest) {
      takeEntry(*known, parsed);
    } else {
      parsed.facts.headerBytes = mime::parseMessage(content, scratch_.cache);
    }
  }

  void takeEntry(const KnownInodes::Entry& known, Parsed& parsed) {
    parsed.facts.headerBytes = known.facts.headerBytes;
    scratch_.cache.insert(scratch_.cache.end(), known.cache.begin(), known.cache.end());
  }

  void fail(std::uint32_t i, const Outcome& outcome) noexcept {
    result_.errors[i] = outcome.error;
    result_.errorNumbers[i] = outcome.errorNumber;
    ++failures_;
  }

  void indexSlice(std::uint32_t first, std::uint32_t end) {
    for (std::uint32_t i = first; i < end && going(); ++i) {
      if (result_.errors[i] != MessageError::none) continue;
      const Parsed& parsed = parsed_[i - first];
      halting(writer_.add({table_.uids[i], table_.flags[i], static_cast<std::int64_t>(table_.internalDates[i]),
                           parsed.facts.size, parsed.facts.headerBytes, parsed.facts.digest, table_.keywords(i),
                           std::span(scratch_.cache).subspan(parsed.cacheAt, parsed.cacheBytes)}));
    }
    if (scratch_.cache.capacity() > kKeepBytes) std::vector<std::uint8_t>().swap(scratch_.cache);
  }

  void publish() {
    halting(writer_.publish(folder_));
    if (!going()) return;
    result_.published = true;
    result_.summary = writer_.summary();
  }

  const Folder& folder_;
  const MessageTable& table_;
  Scratch& scratch_;
  Placer placer_;
  index::Writer writer_;
  Progress progress_;
  Result result_;
  std::uint32_t failures_ = 0;
  std::uint32_t unreadable_ = 0;  ///< in a row, because of the device
  std::vector<std::uint32_t> order_;
  std::vector<Parsed> parsed_;
};

}  // namespace

Result migrate(const Folder& folder, Scratch& scratch) { return Migration(folder, scratch).run(); }

}  // namespace mailhaul::engine
