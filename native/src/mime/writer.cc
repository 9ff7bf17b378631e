#include "writer.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace mailhaul::mime {
namespace {

constexpr std::uint8_t needsBackslash = 1;
constexpr std::uint8_t needsLiteral = 2;

/// What a byte of a string needs.
constexpr std::array<std::uint8_t, 256> makeNeeds() {
  std::array<std::uint8_t, 256> needs{};
  for (std::size_t byte = 0x80; byte < needs.size(); byte++) needs[byte] = needsLiteral;
  for (const char byte : {'\0', '\r', '\n'}) needs[static_cast<std::uint8_t>(byte)] = needsLiteral;
  for (const char byte : {'"', '\\'}) needs[static_cast<std::uint8_t>(byte)] = needsBackslash;
  return needs;
}

constexpr std::array<std::uint8_t, 256> needs = makeNeeds();

}  // namespace

void Writer::grow(std::size_t more) { store_.resize(std::max({length_ + more, store_.size() * 2, std::size_t{1024}})); }

void Writer::decimal(std::uint64_t value) {
  std::array<char, 20> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  ascii({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void Writer::string(Bytes data) {
  ensure(data.size() + 2);
  // Copied at once in the hope that nothing needs a backslash or a literal, which is true of nearly every string.
  std::uint8_t* const to = store_.data() + length_;
  to[0] = '"';
  std::uint8_t seen = 0;
  for (std::size_t i = 0; i < data.size(); i++) {
    seen |= needs[data[i]];
    to[i + 1] = data[i];
  }
  if (seen == 0) [[likely]] {
    to[data.size() + 1] = '"';
    length_ += data.size() + 2;
  } else if ((seen & needsLiteral) != 0) {
    byte('{');
    decimal(data.size());
    ascii("}\r\n");
    bytes(data);
  } else {
    ensure(2 * data.size() + 2);
    put('"');
    for (const std::uint8_t value : data) {
      if (needs[value] != 0) put('\\');
      put(value);
    }
    put('"');
  }
}

void Writer::unfolded(Bytes data, std::size_t start, std::size_t end) {
  ensure(end - start);
  while (start < end) {
    const std::size_t lf = findByte(data, start, end, '\n');
    const std::size_t stop = lf < end && lf > start && data[lf - 1] == '\r' ? lf - 1 : lf;
    bytes(data.subspan(start, stop - start));
    start = lf + 1;
  }
}

}  // namespace mailhaul::mime
