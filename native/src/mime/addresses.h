// Address lists (RFC 5322 3.4 with the obsolete forms of 4.4) as ENVELOPE shows them. The twin of
// src/engine/message/addresses.ts, which says what happens to broken ones.
#pragma once

#include "bytes.h"
#include "writer.h"

namespace mailhaul::mime {

/// Addresses of one list that are shown; what follows is passed over. The end of a group may come on top.
inline constexpr std::size_t maxAddresses = 32768;

/// Buffers for the words of one address.
struct AddressScratch {
  Writer name;
  Writer local;
  Writer domain;
};

/// Writes the addresses of one field behind the `count` that the list has; returns the new count. The parentheses
/// around the list are the caller's.
std::size_t writeAddresses(Bytes data, Span value, std::size_t count, Writer& out, AddressScratch& scratch);

}  // namespace mailhaul::mime
