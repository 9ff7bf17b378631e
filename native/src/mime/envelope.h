// ENVELOPE and the texts of BODYSTRUCTURE (RFC 3501 7.4.2). The twin of src/engine/message/envelope.ts.
#pragma once

#include <span>

#include "addresses.h"
#include "bytes.h"
#include "header.h"
#include "writer.h"

namespace mailhaul::mime {

/// Writes the ENVELOPE that `fields`, those of one header, make.
void writeEnvelope(Bytes data, std::span<const HeaderField> fields, Writer& out, AddressScratch& scratch);

/// Writes an unfolded text, or NIL when there is no field.
void writeText(Bytes data, const HeaderField* field, Writer& out, Writer& scratch);

}  // namespace mailhaul::mime
