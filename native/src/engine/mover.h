// Moves the messages of a slice, in one thread:
//
//   source file ─ open, read once, look ─▶ bytes ─▶ CRLF form ─▶ digest, cache entry ─▶ Slice
//                                            └──────────────────▶ <nn>/<uid>.msg (link, clone, copy or rewrite)
//
// in inode order, the order that disks like. Invariant: a 3.x name is never touched, and a file that has a 4.x name
// has its whole content, owner and mode.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/place.h"
#include "engine/sampledclock.h"
#include "engine/scratch.h"
#include "engine/slice.h"
#include "engine/source.h"
#include "engine/types.h"

namespace mailhaul::engine {

/// What the threads that move one folder share.
struct Shared {
  Result& result;  ///< the columns; a message's elements belong to the thread that has its slice
  std::atomic<std::uint32_t>& failures;
  const std::atomic<bool>& over;  ///< nothing of the folder is of use any more

  /// The folder gets its index as things stand; once it is false it stays so.
  [[nodiscard]] bool publishes(const Folder& folder) const noexcept {
    return folder.publishWithFailures || failures.load(std::memory_order_relaxed) == 0;
  }
};

class Mover {
 public:
  Mover(const Folder& folder, Scratch& scratch, Shared shared) noexcept;

  /// Returns what ends the folder, or that it goes on. `stopped` when the run was cancelled. Throws std::bad_alloc.
  [[nodiscard]] Outcome move(Slice& slice, bool& stopped);

  /// What ended the folder was on the 3.x side.
  [[nodiscard]] bool sourceIsDead() const noexcept { return sourceDead_; }

 private:
  /// What is known of an inode, in the scratch memory until the next message; null: nothing.
  using Known = const KnownInodes::Entry*;

  void takeOrder(const Slice& slice);
  [[nodiscard]] bool publishes() const noexcept;
  [[nodiscard]] Outcome countUnreadable(const Outcome& outcome) noexcept;
  [[nodiscard]] Outcome reopen(std::uint32_t i, const Outcome& vanished, Source& source);
  [[nodiscard]] Outcome moveOne(std::uint32_t i, Source& source, Slice& slice, SampledClock& clock);
  [[nodiscard]] bool isShared(const Source& source) const noexcept;
  [[nodiscard]] Known findKnown(std::uint32_t i);
  [[nodiscard]] Outcome moveKnown(std::uint32_t i, Source& source, Known& known, Method& method);
  [[nodiscard]] Outcome moveRead(std::uint32_t i, Source& source, Known known, Parsed& parsed, Method& method,
                                 SampledClock& clock);
  void describe(std::span<const std::uint8_t> content, const mime::KnownLines& lines, Known known, Parsed& parsed);
  void takeEntry(const KnownInodes::Entry& known, Parsed& parsed);
  void fail(std::uint32_t i, const Outcome& outcome) noexcept;

  const Folder& folder_;
  const MessageTable& table_;
  Scratch& scratch_;
  Shared shared_;
  Placer placer_;
  Progress progress_;
  Slice* slice_ = nullptr;
  std::vector<std::uint32_t> order_;
  std::optional<std::uint64_t> device_;  ///< of the 3.x message before, else of the folder
  std::uint32_t unreadable_ = 0;         ///< in a row, because of the device
  bool sourceDead_ = false;
};

}  // namespace mailhaul::engine
