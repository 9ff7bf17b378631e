// BODYSTRUCTURE (RFC 3501 7.4.2) with all extension data. The twin of src/engine/message/bodystructure.ts.
#pragma once

#include "addresses.h"
#include "bytes.h"
#include "structure.h"
#include "writer.h"

namespace mailhaul::mime {

/// Writes the BODYSTRUCTURE of the whole message. Recursion is bounded by maxLevels. Uses `tree.parameters`.
void writeBodyStructure(Bytes data, MessageTree& tree, Writer& out, AddressScratch& scratch);

}  // namespace mailhaul::mime
