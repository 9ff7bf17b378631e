// Memory that a thread keeps from call to call.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/buffer.h"
#include "engine/knowninodes.h"
#include "engine/overview.h"
#include "engine/readahead.h"
#include "engine/slice.h"
#include "engine/target.h"

namespace mailhaul::engine {

struct Scratch {
  Buffer message;
  Buffer compare;
  WrittenInodes written;
  Overview overview;
  AheadMemory ahead;
  KnownInodes::Entry known;
  std::vector<std::uint8_t> crlf;
  std::uint32_t messages = 0;  ///< moved by the thread so far; wraps

  /// Throws std::bad_alloc.
  [[nodiscard]] std::unique_ptr<Slice> takeSlice() {
    return spare_ != nullptr ? std::move(spare_) : std::make_unique<Slice>();
  }
  void giveBack(std::unique_ptr<Slice> slice) noexcept {
    if (slice->cache.capacity() <= kKeepBytes) spare_ = std::move(slice);
  }

  static constexpr std::size_t kKeepBytes = std::size_t{64} << 20;

 private:
  std::unique_ptr<Slice> spare_;
};

}  // namespace mailhaul::engine
