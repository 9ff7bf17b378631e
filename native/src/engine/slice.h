// A slice of a folder's messages: what one thread moves at a time, and what the index needs of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/knowninodes.h"
#include "engine/types.h"

namespace mailhaul::engine {

/// A message of a slice.
struct Parsed {
  Facts facts;
  std::size_t cacheAt = 0;  ///< of its cache entry, within Slice::cache
  std::size_t cacheBytes = 0;
};

/// The messages [first, end) of the table. Its memory is used again for the next one.
struct Slice {
  std::uint32_t first = 0;
  std::uint32_t end = 0;
  std::vector<Parsed> parsed;
  std::vector<std::uint8_t> cache;  ///< cache entries, in the order in which the messages were read
  std::uint64_t bytes = 0;          ///< of the messages that were moved (CRLF form)
  Times times;

  void begin(std::uint32_t from, std::uint32_t to) {
    first = from;
    end = to;
    parsed.assign(to - from, Parsed{});
    cache.clear();
    bytes = 0;
    times = {};
  }
};

}  // namespace mailhaul::engine
