// Removal of 3.x files that are durably migrated (4x-store.md, promise 1).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/types.h"

namespace mailhaul::engine {

/// RemoveOutput of types.ts.
struct Removal {
  struct Kept {
    std::uint32_t index = 0;
    std::int32_t errorNumber = 0;  ///< 0: not the file of the record
  };
  std::uint32_t removed = 0;
  std::uint64_t bytes = 0;
  std::uint32_t missing = 0;
  std::vector<Kept> kept;
};

/// Unlinks the files with remove[i] = 1 that still are regular files with the inode, size and time of the record.
/// Throws std::bad_alloc.
[[nodiscard]] Removal removeSources(int sourceFd, const MessageTable& messages, std::span<const std::uint8_t> remove);

}  // namespace mailhaul::engine
