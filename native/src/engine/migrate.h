// Moves the messages of one folder and writes its index (design.md, "One folder, in order", steps 3 and 4).
//
//     table ─▶ slices of ascending uids ─▶ Mover, one a thread ─▶ index, slice after slice
//
// The thread that is given the folder works on it alone, or with those that help (jobs.h); the index is the same.
// Invariant: store.idx gets its name after all files that it lists have theirs.
#pragma once

#include "engine/scratch.h"
#include "engine/types.h"

namespace mailhaul::engine {

/// A lack of memory is reported as a halt; only making the columns of the result can throw (std::bad_alloc).
/// However it ends, the next attempt adopts what was linked.
[[nodiscard]] Result migrate(const Folder& folder, Scratch& scratch);

}  // namespace mailhaul::engine
