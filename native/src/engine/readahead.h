// Messages that are not in the page cache are opened and asked for some files ahead, in inode order: then the disk
// always has a queue. They go in batches, the whole of one in a single system call where the system has io_uring
// (sys/readring.h): neighbours on the disk are then read by one request, and what was read needs no further call.
// Elsewhere each is asked for by itself (posix_fadvise).
//
//     order_   … consumed │ the batch in hand, read │ the batch behind it, under way │ not begun …
//                         k                         latest_                          next_
//
// Warm mail pays nothing: reading ahead begins when several of the last reads had to wait, and ends again. What a
// thread has seen holds for its next folder too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/source.h"
#include "engine/types.h"
#include "sys/readring.h"

namespace mailhaul::engine {

/// Messages of a batch where so many files may be open and so many threads read ahead: all of them together have a
/// quarter of the files, two batches each. The main thread reckons with the same (src/upgrade/held.ts); the tests of
/// both go by test/readahead_batches.inc.
[[nodiscard]] std::size_t batchOf(std::size_t files, std::size_t threads) noexcept;

/// What a thread keeps for it from folder to folder.
class AheadMemory {
 public:
  /// Messages of a batch at most, and bytes that are read of them together.
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
  /// A larger message is asked for, and read when it is its turn.
  static constexpr std::size_t kMostBytes = std::size_t{128} << 10;

  AheadMemory() noexcept;
  AheadMemory(const AheadMemory&) = delete;
  AheadMemory& operator=(const AheadMemory&) = delete;
  ~AheadMemory();

  /// Tells how a read went: whether it had to wait for the disk.
  void observe(bool cold) noexcept;
  [[nodiscard]] bool isCold() const noexcept { return isCold_; }
  /// No ring from now on: every message is asked for by itself.
  void useNoRing() noexcept;
  [[nodiscard]] bool hasRing() const noexcept { return ring_.isOpen(); }

 private:
  friend class ReadAhead;
  struct Slot {
    Source source;
    Outcome outcome;
    std::span<std::uint8_t> into;
    bool isUnderWay = false;  ///< being read into that
  };

  /// False: there is no ring.
  [[nodiscard]] bool prepare() noexcept;

  /// Of two batches, by the place in the order.
  std::array<Slot, 2 * kBatch> slots_;
  std::array<std::unique_ptr<std::uint8_t[]>, 2> bytes_;
  std::size_t mostFiles_ = 0;  ///< that may be open; 0: not known yet
  std::size_t batch_ = 0;      ///< messages; fewer where few files may be open
  std::size_t chill_ = 0;      ///< up with every read that had to wait, slowly down with the others
  bool isCold_ = false;
  bool triedRing_ = false;
  sys::ReadRing ring_;
};

static_assert(2 * AheadMemory::kBatch <= sys::ReadRing::kMost);

class ReadAhead {
 public:
  /// `order`: indexes of messages, in the order they are going to be asked for.
  ReadAhead(const Folder& folder, std::span<const std::uint32_t> order, AheadMemory& memory) noexcept
      : folder_(folder), order_(order), memory_(memory) {}
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead();

  /// The source of order[k], opened ahead or now.
  [[nodiscard]] Outcome open(std::size_t k, Source*& source) noexcept;
  /// Opens order[k] once more, after descriptors became free.
  [[nodiscard]] Outcome openAgain(std::size_t k, Source*& source) noexcept;
  /// Closes what is open behind order[k], for a while: descriptors are needed elsewhere. False: nothing was.
  [[nodiscard]] bool letGo(std::size_t k) noexcept;

 private:
  [[nodiscard]] AheadMemory::Slot& slotOf(std::size_t k) noexcept { return memory_.slots_[k % memory_.slots_.size()]; }
  void start(std::size_t k) noexcept;
  void startBatch(std::size_t k) noexcept;
  [[nodiscard]] std::size_t ringBytes(std::size_t k) const noexcept;
  void takeResults(bool waited) noexcept;
  void await(const AheadMemory::Slot& slot) noexcept;
  bool closeFrom(std::size_t first) noexcept;

  const Folder& folder_;
  std::span<const std::uint32_t> order_;
  AheadMemory& memory_;
  std::size_t latest_ = 0;  ///< the first one of the batch begun last
  std::size_t next_ = 0;    ///< the first one not started
  std::size_t batches_ = 0;
};

}  // namespace mailhaul::engine
