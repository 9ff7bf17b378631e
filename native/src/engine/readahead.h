// Messages that are not in the page cache are opened and asked for some files ahead, in inode order: then the disk
// always has a queue to sort. Warm mail pays nothing: the window opens when several of the last reads had to wait, and
// closes again.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/source.h"
#include "engine/types.h"
#include "sys/calls.h"

namespace mailhaul::engine {

class ReadAhead {
 public:
  /// `order`: indexes of messages, in the order they are going to be asked for.
  ReadAhead(const Folder& folder, std::span<const std::uint32_t> order) noexcept : folder_(folder), order_(order) {}

  /// The source of order[k], opened ahead or now.
  [[nodiscard]] Outcome open(std::size_t k, Source*& source) noexcept {
    for (next_ = std::max(next_, k); next_ < std::min(k + 1 + window_, order_.size()); ++next_) {
      start(next_);
      if (next_ > k && slots_[next_ % slots_.size()].outcome.halt != nullptr) {
        // Too many descriptors are open: without a window it goes on.
        window_ = 0;
        break;
      }
    }
    Slot& slot = slots_[k % slots_.size()];
    source = &slot.source;
    return slot.outcome;
  }

  /// Opens order[k] once more, after descriptors became free.
  [[nodiscard]] Outcome openAgain(std::size_t k, Source*& source) noexcept {
    start(k);
    return open(k, source);
  }

  /// Tells how reading it went.
  void observe(bool cold) noexcept {
    // One cold message among hundreds is no reason: opening ahead and asking for it costs each of them two calls.
    chill_ = cold ? std::min(chill_ + kColdWeight, kWindow) : chill_ - std::min<std::size_t>(chill_, 1);
    if (chill_ > kColdWeight) window_ = kWindow;
    if (chill_ == 0) window_ = 0;
  }

 private:
  static constexpr std::size_t kWindow = 64;
  static constexpr std::size_t kColdWeight = 8;
  struct Slot {
    Source source;
    Outcome outcome;
  };

  void start(std::size_t k) noexcept {
    const std::uint32_t i = order_[k];
    Slot& slot = slots_[k % slots_.size()];
    NameBuffer buffer;
    const char* name = fileName(folder_.messages.name(i), buffer);
    if (name == nullptr) {
      slot.outcome = Outcome::fail(MessageError::notRegular);
      return;
    }
    const SourceRules rules{folder_.owner.uid, folder_.takeForeign};
    slot.outcome = slot.source.open(folder_.sourceFd, name, recordOf(folder_.messages, i), rules);
    if (slot.outcome.ok() && window_ > 0) sys::willNeed(slot.source.fd());
  }

  const Folder& folder_;
  std::span<const std::uint32_t> order_;
  std::array<Slot, kWindow + 1> slots_;
  std::size_t window_ = 0;
  std::size_t next_ = 0;   ///< the first one not started
  std::size_t chill_ = 0;  ///< up with every read that had to wait, slowly down with the others
};

}  // namespace mailhaul::engine
