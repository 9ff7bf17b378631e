// The forms that nearly every address has, written without a detour:
//
//     Ann Weber <ann@example.com>     "Weber, Ann" <ann@example.com>     ann@example.com     ann@example.com (Ann)
//
// Invariant: what is written is what addresses.cc would write; anything else is left to it.
#pragma once

#include <cstddef>

#include "bytes.h"
#include "writer.h"

namespace mailhaul::mime {

/// Writes the mailbox that begins at `from`, below `end`, with its parentheses; returns the position after it, or
/// `from` when it has no common form: then nothing is written.
std::size_t writeMailbox(Bytes data, std::size_t from, std::size_t end, Writer& out);

}  // namespace mailhaul::mime
