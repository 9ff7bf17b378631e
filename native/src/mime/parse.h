// The message parser: one RFC 5322 message in, one cache entry of store.idx out (docs/formats/store-idx.md,
// "Cache entry"). src/engine/message/ is its twin in TypeScript; both give the same bytes for every input.
// The rules for broken mail are in docs/formats/message-structure.md.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "structure.h"

namespace mailhaul::mime {

/// Appends the cache entry of `message` (CRLF form) to `cache` and returns the bytes of its header, with the
/// blank line that ends it. Accepts any bytes; time is linear in the size, the stack bounded. The only
/// exception is std::bad_alloc.
std::uint64_t parseMessage(std::span<const std::uint8_t> message, std::vector<std::uint8_t>& cache,
                           const KnownLines& known = {});

}  // namespace mailhaul::mime
