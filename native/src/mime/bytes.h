// Byte classes and spans of the message parser. The twin of src/engine/message/bytes.ts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace mailhaul::mime {

using Bytes = std::span<const std::uint8_t>;

/// A half-open range [start, end) of the message.
struct Span {
  std::size_t start = 0;
  std::size_t end = 0;
};

namespace detail {

constexpr std::uint8_t token = 1;
constexpr std::uint8_t fold = 2;
constexpr std::uint8_t delimiter = 4;
constexpr std::uint8_t domain = 8;

constexpr std::array<std::uint8_t, 256> makeClasses() {
  std::array<std::uint8_t, 256> classes{};
  const auto isIn = [](std::size_t byte, std::string_view set) {
    return set.find(static_cast<char>(byte)) != std::string_view::npos;
  };
  for (std::size_t byte = 0; byte < classes.size(); byte++) {
    const bool printable = byte > 0x20 && byte != 0x7f;
    std::uint8_t& is = classes[byte];
    if (printable && byte < 0x80 && !isIn(byte, "()<>@,;:\\\"/[]?=")) is |= token;
    if (isIn(byte, " \t\r\n")) is |= fold;
    if (isIn(byte, ",<>@:;(\"")) is |= delimiter;
    if (printable && !isIn(byte, ",<>;(\")\\[")) is |= domain;
  }
  return classes;
}

inline constexpr std::array<std::uint8_t, 256> classes = makeClasses();

}  // namespace detail

/// A byte of a MIME token (RFC 2045 5.1): printable ASCII without SPACE and tspecials.
inline bool isToken(std::uint8_t byte) noexcept { return (detail::classes[byte] & detail::token) != 0; }

/// SPACE or TAB: what a folded line begins with.
inline bool isBlank(std::uint8_t byte) noexcept { return byte == ' ' || byte == '\t'; }

/// White space of a header value: SPACE, TAB and the CR and LF of its folds.
inline bool isFold(std::uint8_t byte) noexcept { return (detail::classes[byte] & detail::fold) != 0; }

/// A byte that can be part of an atom of an address list: no white space and none of `,<>@:;("`.
inline bool isAtom(std::uint8_t byte) noexcept {
  return (detail::classes[byte] & (detail::fold | detail::delimiter)) == 0;
}

/// A byte of a domain: of an atom or a dot, also `@` and `:`, as in `a@b@c` and `a@b:25`; not the `[` of a literal.
inline bool isDomain(std::uint8_t byte) noexcept { return (detail::classes[byte] & detail::domain) != 0; }

/// A letter or digit of ASCII.
inline bool isAlphanumeric(std::uint8_t byte) noexcept {
  return (byte >= '0' && byte <= '9') || ((byte | 0x20U) >= 'a' && (byte | 0x20U) <= 'z');
}

inline std::uint8_t toLower(std::uint8_t byte) noexcept {
  return byte >= 'A' && byte <= 'Z' ? static_cast<std::uint8_t>(byte + 0x20) : byte;
}

/// Offset of the next `byte` in [from, end), or `end`.
inline std::size_t findByte(Bytes data, std::size_t from, std::size_t end, char byte) noexcept {
  if (from >= end) return end;
  const void* found = std::memchr(data.data() + from, byte, end - from);
  return found == nullptr ? end : static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - data.data());
}

/// True when the byte at `at` belongs to a line end: an LF, or a CR that an LF follows.
inline bool isLineEnd(Bytes data, std::size_t at, std::size_t end) noexcept {
  return data[at] == '\n' || (data[at] == '\r' && at + 1 < end && data[at + 1] == '\n');
}

/// Position after the comment that opens at `from`; one that is never closed reaches to the end.
inline std::size_t skipComment(Bytes data, std::size_t from, std::size_t end) noexcept {
  std::size_t depth = 0;
  for (std::size_t at = from; at < end; at++) {
    const std::uint8_t byte = data[at];
    if (byte == '\\') {
      at++;
    } else if (byte == '(') {
      depth++;
    } else if (byte == ')' && --depth == 0) {
      return at + 1;
    }
  }
  return end;
}

/// Position after comments and white space (CFWS, RFC 5322 3.2.2), at most `end`.
inline std::size_t skipCfws(Bytes data, std::size_t from, std::size_t end) noexcept {
  std::size_t at = from;
  while (at < end) {
    if (data[at] == '(') {
      at = skipComment(data, at, end);
    } else if (isFold(data[at])) {
      at++;
    } else {
      break;
    }
  }
  return at < end ? at : end;
}

}  // namespace mailhaul::mime
