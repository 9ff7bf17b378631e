#include "writer.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace mailhaul::mime {

void Writer::grow(std::size_t more) { store_.resize(std::max({length_ + more, store_.size() * 2, std::size_t{1024}})); }

void Writer::decimal(std::uint64_t value) {
  std::array<char, 20> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  ascii({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void Writer::string(Bytes data) {
  bool literal = false;
  std::size_t escapes = 0;
  for (const std::uint8_t byte : data) {
    literal |= byte == 0 || byte >= 0x80 || byte == '\r' || byte == '\n';
    escapes += static_cast<std::size_t>(byte == '"') + static_cast<std::size_t>(byte == '\\');
  }
  if (literal) {
    byte('{');
    decimal(data.size());
    ascii("}\r\n");
    bytes(data);
    return;
  }
  byte('"');
  if (escapes == 0) {
    bytes(data);
  } else {
    ensure(data.size() + escapes);
    for (const std::uint8_t value : data) {
      if (value == '"' || value == '\\') store_[length_++] = '\\';
      store_[length_++] = value;
    }
  }
  byte('"');
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
