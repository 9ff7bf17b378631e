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

inline constexpr std::size_t fieldKinds = static_cast<std::size_t>(Field::other);

struct HeaderField {
  Field kind = Field::other;
  Span value;
};

/// What the name of a field says.
struct FieldName {
  /// `other` for one that ENVELOPE and BODYSTRUCTURE do not use.
  Field kind = Field::other;
  /// `fields` of the cache entry keeps it (store-idx.md, "Cache entry").
  bool cached = false;
};

FieldName fieldName(Bytes data, Span name) noexcept;

/// The end of the name before the colon: blanks before the colon are not part of it (RFC 5322 4.5).
inline std::size_t nameEnd(Bytes data, std::size_t start, std::size_t colon) noexcept {
  std::size_t end = colon;
  while (end > start && isBlank(data[end - 1])) end--;
  return end;
}

/// The value after the colon, without the blanks before it on the first line and without the last line end.
inline Span valueSpan(Bytes data, std::size_t colon, std::size_t fieldEnd) noexcept {
  std::size_t end = fieldEnd;
  if (end > colon + 1 && data[end - 1] == '\n') {
    end--;
    if (end > colon + 1 && data[end - 1] == '\r') end--;
  }
  std::size_t start = colon + 1;
  while (start < end && isBlank(data[start])) start++;
  return {start, end};
}

}  // namespace mailhaul::mime
