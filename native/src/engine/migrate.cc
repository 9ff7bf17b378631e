#include "engine/migrate.h"

#include <errno.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <utility>

#include "engine/jobs.h"
#include "engine/mover.h"
#include "engine/slice.h"
#include "engine/sweep.h"
#include "index/writer.h"

namespace mailhaul::engine {
namespace {

constexpr std::uint32_t kSliceMessages = 4096;
/// With helpers the last slices are smaller, so that all end at about the same time.
constexpr std::uint32_t kLastSliceMessages = 512;
/// A slice's cache entries are held in memory until it is in the index; they are about as large as its messages at
/// worst.
constexpr double kSliceBytes = 128.0 * 1024 * 1024;
/// Slices that are moved ahead of the first one that is not in the index: so many are held in memory at most
/// (MOST_THREADS of sharing.ts), and no further one is begun while those that wait have so many bytes.
constexpr std::uint32_t kAhead = 16;
constexpr std::size_t kWaitingBytes = std::size_t{256} << 20;

class FolderMove final : public Job {
 public:
  explicit FolderMove(const Folder& folder)
      : folder_(folder), table_(folder.messages), writer_(folder.targetFd, folder.owner) {
    result_.methods.resize(table_.count, Method::failed);
    result_.errors.resize(table_.count, MessageError::none);
    result_.errorNumbers.resize(table_.count, 0);
    writer_.reserve(table_.count);
  }

  Result run(Scratch& scratch) {
    {
      const Jobs::Opened open(folder_.job, *this);
      work(scratch);
    }
    // From here on this thread is alone.
    try {
      if (going() && folder_.resumed) ends(sweep(folder_, result_.errors, writer_.isOpen()));
      if (going() && publishes()) publish();
    } catch (const std::bad_alloc&) {
      ends(kNoMemory);
    }
    return std::move(result_);
  }

  [[nodiscard]] Piece help(Scratch& scratch) noexcept override {
    Piece piece;
    try {
      Mover mover(folder_, scratch, shared_);
      piece = moveSlice(mover, scratch);
    } catch (const std::bad_alloc&) {
      ends(kNoMemory);
    }
    return piece;
  }

 private:
  void work(Scratch& scratch) noexcept {
    try {
      Mover mover(folder_, scratch, shared_);
      while (moveSlice(mover, scratch).taken) {
      }
    } catch (const std::bad_alloc&) {
      ends(kNoMemory);
    }
  }

  [[nodiscard]] Piece moveSlice(Mover& mover, Scratch& scratch) {
    std::unique_ptr<Slice> slice = take(scratch);
    if (slice == nullptr) return {};
    bool stopped = false;
    const Outcome moved = mover.move(*slice, stopped);
    if (stopped) cancel();
    if (!moved.ok()) ends(moved, mover.sourceIsDead());
    const Piece piece{true, slice->end - slice->first, slice->bytes};
    bring(std::move(slice), scratch);
    return piece;
  }

  static constexpr Outcome kNoMemory{MessageError::none, ENOMEM, "malloc"};

  [[nodiscard]] bool going() const noexcept { return !over_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool publishes() const noexcept { return shared_.publishes(folder_); }

  /// The next slice; null when there is none, or the folder has ended.
  [[nodiscard]] std::unique_ptr<Slice> take(Scratch& scratch) {
    std::unique_ptr<Slice> slice = scratch.takeSlice();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !going() || taken_ == table_.count || mayGoAhead(); });
    if (!going() || taken_ == table_.count) {
      lock.unlock();
      scratch.giveBack(std::move(slice));
      return nullptr;
    }
    const std::uint32_t first = taken_;
    const std::uint32_t end = sliceEnd(first);
    slices_.emplace(first, nullptr);
    taken_ = end;
    lock.unlock();
    slice->begin(first, end);
    return slice;
  }

  [[nodiscard]] bool mayGoAhead() const noexcept {
    return slices_.empty() || (slices_.size() < kAhead && waitingBytes_ < kWaitingBytes);
  }

  [[nodiscard]] std::uint32_t sliceEnd(std::uint32_t first) const noexcept {
    const std::uint32_t messages =
        folder_.job == 0 ? kSliceMessages : std::clamp((table_.count - first) / 4, kLastSliceMessages, kSliceMessages);
    double bytes = 0;
    std::uint32_t end = first;
    while (end < table_.count && end - first < messages && (end == first || bytes < kSliceBytes)) {
      bytes += table_.sizes[end++];
    }
    return end;
  }

  /// Adds a slice, and those behind it that waited for it, to the index. One thread at a time does that; another one
  /// only leaves its slice.
  void bring(std::unique_ptr<Slice> slice, Scratch& scratch) {
    std::unique_lock lock(mutex_);
    result_.bytes += slice->bytes;
    result_.times += slice->times;
    waitingBytes_ += slice->cache.size();
    slices_.find(slice->first)->second = std::move(slice);
    if (indexing_) return;
    indexing_ = true;
    while (going() && !slices_.empty() && slices_.begin()->second != nullptr) {
      std::unique_ptr<Slice> next = std::move(slices_.begin()->second);
      waitingBytes_ -= next->cache.size();
      lock.unlock();
      std::uint64_t taken = 0;
      const Outcome written = publishes() ? index(*next, taken) : Outcome{};
      scratch.giveBack(std::move(next));
      if (!written.ok()) ends(written);
      lock.lock();
      result_.times.index += taken;
      slices_.erase(slices_.begin());
      changed_.notify_all();
    }
    indexing_ = false;
  }

  [[nodiscard]] Outcome index(const Slice& slice, std::uint64_t& nanoseconds) noexcept {
    const auto began = std::chrono::steady_clock::now();
    Outcome written;
    try {
      writer_.expect(slice.cache.size());
      for (std::uint32_t i = slice.first; i < slice.end && written.ok(); ++i) {
        if (result_.errors[i] != MessageError::none) continue;
        const Parsed& parsed = slice.parsed[i - slice.first];
        written = writer_.add({table_.uids[i], table_.flags[i], static_cast<std::int64_t>(table_.internalDates[i]),
                               parsed.facts.size, parsed.facts.headerBytes, parsed.facts.digest, table_.keywords(i),
                               std::span(slice.cache).subspan(parsed.cacheAt, parsed.cacheBytes)});
      }
    } catch (const std::bad_alloc&) {
      written = kNoMemory;
    }
    nanoseconds =
        static_cast<std::uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count());
    return written;
  }

  void publish() {
    ends(writer_.publish(folder_));
    if (!going()) return;
    result_.published = true;
    result_.summary = writer_.summary();
  }

  /// Notes what ends the folder; the first cause is kept. A target that refuses for another reason than space ends it
  /// as well: without its index it cannot be published.
  void ends(const Outcome& outcome, bool onSource = false) noexcept {
    if (outcome.ok()) return;
    const std::lock_guard lock(mutex_);
    if (result_.haltCall == nullptr) {
      result_.haltError = outcome.errorNumber;
      result_.haltCall = outcome.halt != nullptr ? outcome.halt : "store.idx";
      result_.haltOnSource = onSource;
    }
    isOver();
  }

  void cancel() noexcept {
    const std::lock_guard lock(mutex_);
    result_.stopped = true;
    isOver();
  }

  void isOver() noexcept {
    over_.store(true, std::memory_order_relaxed);
    changed_.notify_all();
  }

  const Folder& folder_;
  const MessageTable& table_;
  index::Writer writer_;  ///< of the thread that is indexing
  Result result_;
  std::atomic<std::uint32_t> failures_{0};
  std::atomic<bool> over_{false};
  const Shared shared_{result_, failures_, over_};

  std::mutex mutex_;  ///< of all that follows, and of what is one a folder in `result_`
  std::condition_variable changed_;
  std::uint32_t taken_ = 0;  ///< messages that are in slices
  /// By first message: those that are taken and not in the index; null while a thread moves it.
  std::map<std::uint32_t, std::unique_ptr<Slice>> slices_;
  std::size_t waitingBytes_ = 0;  ///< cache entries of those that are moved
  bool indexing_ = false;
};

}  // namespace

Result migrate(const Folder& folder, Scratch& scratch) { return FolderMove(folder).run(scratch); }

}  // namespace mailhaul::engine
