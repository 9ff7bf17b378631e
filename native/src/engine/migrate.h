// Moves the messages of one folder and writes its index (design.md, "One folder, in order", steps 3 and 4).
//
//   source file ─ look, open, read once ─▶ bytes ─▶ CRLF form ─▶ digest, cache entry ─▶ index slice
//                                            └──────────────────▶ <nn>/<uid>.msg (link, clone, copy or rewrite)
//
// Messages are taken in slices of ascending uids, and within a slice in inode order; the index gets each slice in uid
// order. Invariant: a 3.x name is never touched, a file that has a 4.x name has its whole content, owner and mode,
// and store.idx gets its name after all files that it lists have theirs.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/buffer.h"
#include "engine/target.h"
#include "engine/types.h"

namespace mailhaul::engine {

/// Memory that a thread keeps from call to call.
struct Scratch {
  Buffer message;
  Buffer compare;
  WrittenInodes written;
  std::vector<std::uint8_t> crlf;
  std::vector<std::uint8_t> cache;
};

/// A lack of memory is reported as a halt; only making the columns of the result can throw (std::bad_alloc).
/// However it ends, the next attempt adopts what was linked.
[[nodiscard]] Result migrate(const Folder& folder, Scratch& scratch);

}  // namespace mailhaul::engine
