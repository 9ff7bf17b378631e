// After a repeated attempt: removes what earlier, uncommitted attempts left in a mailbox directory and no message of
// the table claims.
#pragma once

#include <span>

#include "engine/types.h"

namespace mailhaul::engine {

/// Removes `.new-*` and `store.idx.new`, and in the hash directories `.new-*` and every `*.msg` that belongs to no
/// message whose error is `none`. A file of a message that failed stays when it is the last name of its inode: it may
/// be the only copy (4x-store.md, promise 1). Sub-mailboxes and other files are left alone, and `store.idx.new` where
/// this attempt `writesIndex` under that name (no O_TMPFILE). Throws std::bad_alloc.
[[nodiscard]] Outcome sweep(const Folder& folder, std::span<const MessageError> errors, bool writesIndex);

}  // namespace mailhaul::engine
