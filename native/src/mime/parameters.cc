#include "parameters.h"

#include <algorithm>
#include <array>

namespace mailhaul::mime {
namespace {

std::size_t tokenEnd(Bytes data, std::size_t from, std::size_t end) noexcept {
  std::size_t at = from;
  while (at < end && isToken(data[at])) at++;
  return at;
}

/// The end of a language tag: letters, digits and `-` (RFC 5646 2.1).
std::size_t tagEnd(Bytes data, std::size_t from, std::size_t end) noexcept {
  std::size_t at = from;
  while (at < end && (data[at] == '-' || isAlphanumeric(data[at]))) at++;
  return at;
}

/// A value that was read: where it ends and where to go on.
struct Read {
  std::size_t end;
  std::size_t next;
};

std::optional<Read> readQuoted(Bytes data, std::size_t from, std::size_t end) noexcept {
  for (std::size_t at = from + 1; at < end; at++) {
    if (data[at] == '\\') {
      at++;
    } else if (data[at] == '"') {
      return Read{at, at + 1};
    }
  }
  return std::nullopt;
}

/// A value without quotes ends at `;`, a comment, a control character or the end; blanks behind it do not count.
Read readBare(Bytes data, std::size_t from, std::size_t end) noexcept {
  std::size_t last = from;
  std::size_t at = from;
  for (; at < end; at++) {
    const std::uint8_t byte = data[at];
    if (isFold(byte)) continue;
    if (byte == ';' || byte == '(' || byte < 0x20) break;
    last = at + 1;
  }
  return {last, at};
}

/// `*<n>` or `*<n>*` (n 0 … 99) at the end of a name: where it begins, n or -1 for none.
struct Mark {
  std::size_t base;
  int section;
  bool encoded;
};

Mark markOf(Bytes data, Span name) noexcept {
  const Mark none{name.end, -1, false};
  const std::size_t star = findByte(data, name.start, name.end, '*');
  if (star == name.end) return none;
  const std::size_t digits = star + 1;
  std::size_t at = digits;
  int section = 0;
  while (at < name.end && at - digits < 2 && data[at] >= '0' && data[at] <= '9') {
    section = section * 10 + (data[at++] - '0');
  }
  if (at == digits || (at - digits == 2 && data[digits] == '0')) return none;
  const bool encoded = at < name.end && data[at] == '*';
  if (encoded) at++;
  return at == name.end ? Mark{star, section, encoded} : none;
}

bool sameName(Bytes data, std::size_t a, std::size_t b, std::size_t length) noexcept {
  for (std::size_t i = 0; i < length; i++) {
    if (toLower(data[a + i]) != toLower(data[b + i])) return false;
  }
  return true;
}

void joinSections(Bytes data, Parameters& list) noexcept {
  std::array<Mark, maxSectioned> marks{};
  const std::size_t count = std::min(list.size(), maxSectioned);
  for (std::size_t i = 0; i < count; i++) marks[i] = markOf(data, list[i].name);
  for (std::size_t i = 0; i < count; i++) {
    Parameter& first = list[i];
    if (marks[i].section != 0 || first.consumed) continue;
    first.encoded = first.star = marks[i].encoded;
    const std::size_t length = marks[i].base - first.name.start;
    Parameter* previous = &first;
    for (int section = 1; section < 100; section++) {
      std::size_t next = 0;
      while (next < count && !(marks[next].section == section && !list[next].consumed &&
                               marks[next].base - list[next].name.start == length &&
                               sameName(data, list[next].name.start, first.name.start, length))) {
        next++;
      }
      if (next == count) break;
      Parameter& found = list[next];
      found.consumed = true;
      found.encoded = marks[next].encoded;
      first.star |= found.encoded;
      previous->next = static_cast<std::uint32_t>(next);
      previous = &found;
    }
    first.name.end = marks[i].base;
  }
}

void appendSection(Bytes data, const Parameter& section, bool encode, Writer& out) {
  const auto [start, end] = section.value;
  for (std::size_t at = start; at < end; at++) {
    if (isLineEnd(data, at, end)) continue;
    if (section.quoted && data[at] == '\\' && at + 1 < end) {
      if (isLineEnd(data, at + 1, end)) continue;
      at++;
    }
    const std::uint8_t byte = data[at];
    // attribute-char of RFC 2231 7: a token byte that is none of `*`, `'`, `%`.
    if (encode && (!isToken(byte) || byte == '*' || byte == '\'' || byte == '%')) {
      constexpr std::string_view hex = "0123456789ABCDEF";
      out.byte('%');
      out.byte(static_cast<std::uint8_t>(hex[byte >> 4U]));
      out.byte(static_cast<std::uint8_t>(hex[byte & 15U]));
    } else {
      out.byte(byte);
    }
  }
}

}  // namespace

std::optional<ContentType> parseContentType(Bytes data, Span value) noexcept {
  ContentType found;
  found.type.start = skipCfws(data, value.start, value.end);
  found.type.end = tokenEnd(data, found.type.start, value.end);
  std::size_t at = skipCfws(data, found.type.end, value.end);
  if (found.type.end == found.type.start || at == value.end || data[at] != '/') return std::nullopt;
  found.subtype.start = skipCfws(data, at + 1, value.end);
  found.subtype.end = tokenEnd(data, found.subtype.start, value.end);
  at = skipCfws(data, found.subtype.end, value.end);
  if (found.subtype.end == found.subtype.start || (at < value.end && data[at] != ';')) return std::nullopt;
  found.rest = {at, value.end};
  return found;
}

std::optional<Span> parseEncoding(Bytes data, Span value) noexcept {
  const std::size_t from = skipCfws(data, value.start, value.end);
  const std::size_t to = tokenEnd(data, from, value.end);
  if (to == from || skipCfws(data, to, value.end) != value.end) return std::nullopt;
  return Span{from, to};
}

std::optional<Disposition> parseDisposition(Bytes data, Span value) noexcept {
  const std::size_t from = skipCfws(data, value.start, value.end);
  const std::size_t to = tokenEnd(data, from, value.end);
  const std::size_t at = skipCfws(data, to, value.end);
  if (at == value.end ? to == from : data[at] != ';') return std::nullopt;
  return Disposition{{from, to}, {at, value.end}};
}

std::optional<Span> nextLanguage(Bytes data, std::size_t& at, std::size_t end) noexcept {
  const std::size_t from = skipCfws(data, at, end);
  const std::size_t to = tagEnd(data, from, end);
  const std::size_t after = skipCfws(data, to, end);
  if (to == from || (after < end && data[after] != ',')) return std::nullopt;
  at = after < end ? after + 1 : end;
  return Span{from, to};
}

void parseParameters(Bytes data, Span rest, Parameters& list) {
  list.clear();
  const std::size_t end = rest.end;
  bool starred = false;
  std::size_t at = rest.start;
  while (at < end && list.size() < maxParameters) {
    Parameter parameter;
    parameter.name.start = skipCfws(data, at + 1, end);
    parameter.name.end = tokenEnd(data, parameter.name.start, end);
    at = skipCfws(data, parameter.name.end, end);
    if (at == end) break;
    if (data[at] != '=') {
      // A `;` behind `name` and a blank does not end the broken parameter: both servers look for the next one.
      at = findByte(data, at == parameter.name.end ? at : at + 1, end, ';');
      continue;
    }
    const std::size_t value = skipCfws(data, at + 1, end);
    parameter.quoted = value < end && data[value] == '"';
    const std::optional<Read> read = parameter.quoted ? readQuoted(data, value, end) : readBare(data, value, end);
    if (!read) break;  // A quote that is never closed: nothing follows.
    at = skipCfws(data, read->next, end);
    if (at < end && data[at] != ';') {
      at = findByte(data, at + 1, end, ';');
      continue;
    }
    parameter.value = {value + (parameter.quoted ? 1 : 0), read->end};
    if (parameter.value.start == parameter.value.end && !parameter.quoted) continue;
    starred |= findByte(data, parameter.name.start, parameter.name.end, '*') < parameter.name.end;
    list.push_back(parameter);
  }
  if (starred) joinSections(data, list);
}

void appendValue(Bytes data, const Parameters& list, std::size_t index, Writer& out) {
  const Parameter& first = list[index];
  if (first.star && !first.encoded) out.ascii("''");  // Neither character set nor language (RFC 2231 4.1).
  for (const Parameter* section = &first;; section = &list[section->next]) {
    appendSection(data, *section, first.star && !section->encoded, out);
    if (section->next == noSection) return;
  }
}

}  // namespace mailhaul::mime
