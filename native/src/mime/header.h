// Header fields: which ones the cache entry uses, and the spans of their values. The twin of
// src/engine/message/header.ts, where a field is drawn.
#pragma once

#include "bytes.h"

namespace mailhaul::mime {

/// Fields of ENVELOPE, in its order, then those of BODYSTRUCTURE.
enum class Field : std::uint8_t {
  date,
  subject,
  from,
  sender,
  replyTo,
  to,
  cc,
  bcc,
  inReplyTo,
  messageId,
  contentType,
  contentTransferEncoding,
  contentId,
  contentDescription,
  contentMd5,
  contentDisposition,
  contentLanguage,
  contentLocation,
  mimeVersion,
  other,
};

struct HeaderField {
  Field kind = Field::other;
  Span value;
};

/// The field that rules: of a repeated one the last; null for none. Address fields are the exception (envelope.h).
const HeaderField* lastField(std::span<const HeaderField> fields, Field kind) noexcept;

/// The field that [start, end) names; `other` for one that ENVELOPE and BODYSTRUCTURE do not use.
Field fieldKind(Bytes data, std::size_t start, std::size_t end) noexcept;

/// True for the name of a field that `fields` of the cache entry keeps (store-idx.md, "Cache entry").
bool isCachedField(Bytes data, std::size_t start, std::size_t end) noexcept;

/// The end of the name before the colon: blanks before the colon are not part of it (RFC 5322 4.5).
std::size_t nameEnd(Bytes data, std::size_t start, std::size_t colon) noexcept;

/// The value after the colon, without the blanks before it on the first line and without the last line end.
Span valueSpan(Bytes data, std::size_t colon, std::size_t fieldEnd) noexcept;

}  // namespace mailhaul::mime
