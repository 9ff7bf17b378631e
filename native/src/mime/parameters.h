// `type/subtype`, tokens and parameters of the Content-* fields (RFC 2045 5.1, RFC 2183, RFC 2231). The twin of
// src/engine/message/parameters.ts, which says what happens to broken ones.
#pragma once

#include <optional>
#include <vector>

#include "bytes.h"
#include "writer.h"

namespace mailhaul::mime {

/// Parameters of a field that are read; what follows is passed over.
inline constexpr std::size_t maxParameters = 1000;
/// RFC 2231 sections are put together among this many first parameters of a field.
inline constexpr std::size_t maxSectioned = 128;

/// No further section.
inline constexpr std::uint32_t noSection = UINT32_MAX;

/// One `name=value`; for a quoted value the span is without its quotes.
struct Parameter {
  Span name;
  Span value;
  /// Next section of the same value, as an index into the list of the field, or noSection.
  std::uint32_t next = noSection;
  bool quoted = false;
  /// A `*` goes after the name: some section is encoded.
  bool star = false;
  /// The section itself ended in `*`.
  bool encoded = false;
  /// Part of an earlier parameter.
  bool consumed = false;
};

using Parameters = std::vector<Parameter>;

struct ContentType {
  Span type;
  Span subtype;
  /// The parameters: empty, or from a `;` to the end of the value.
  Span rest;
};

/// Nothing when the value is not `token/token` followed by the end or `;` (RFC 2045 5.2).
std::optional<ContentType> parseContentType(Bytes data, Span value) noexcept;

/// The one token of a Content-Transfer-Encoding; nothing when there is none or more than one.
std::optional<Span> parseEncoding(Bytes data, Span value) noexcept;

struct Disposition {
  Span token;
  Span rest;
};

/// Nothing when the value is not a token followed by the end or `;`, nor an empty one before a `;`.
std::optional<Disposition> parseDisposition(Bytes data, Span value) noexcept;

/// The next tag of a Content-Language at `at`, which moves behind it; nothing after the last one that a comma or the
/// end follows.
std::optional<Span> nextLanguage(Bytes data, std::size_t& at, std::size_t end) noexcept;

/// Replaces `list` by the parameters of `rest`, sections of RFC 2231 put together.
void parseParameters(Bytes data, Span rest, Parameters& list);

/// Appends the value of parameter `index` of `list`, all its sections, without folds and backslashes.
void appendValue(Bytes data, const Parameters& list, std::size_t index, Writer& out);

}  // namespace mailhaul::mime
