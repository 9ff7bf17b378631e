// ENVELOPE and the texts of BODYSTRUCTURE (RFC 3501 7.4.2). The twin of src/engine/message/envelope.ts.
#pragma once

#include "addresses.h"
#include "bytes.h"
#include "structure.h"
#include "writer.h"

namespace mailhaul::mime {

/// Writes the ENVELOPE that the header of `part` makes.
void writeEnvelope(Bytes data, const MessageTree& tree, const Part& part, Writer& out, AddressScratch& scratch);

/// Writes an unfolded text, or NIL when there is no field.
void writeText(Bytes data, const HeaderField* field, Writer& out, Writer& scratch);

}  // namespace mailhaul::mime
