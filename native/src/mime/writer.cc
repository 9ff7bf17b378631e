#include "writer.h"

#include <algorithm>
#include <array>
#include <charconv>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

void Writer::grow(std::size_t more) {
  const std::size_t room = std::max({length_ + more, room_ * 2, std::size_t{1024}});
  std::unique_ptr<std::uint8_t[]> store(new std::uint8_t[room + kSlack]);
  if (length_ > 0) std::memcpy(store.get(), store_.get(), length_);
  store_ = std::move(store);
  room_ = room;
}

void Writer::decimal(std::uint64_t value) {
  std::array<char, 20> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  ascii({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

bool Writer::plain(Bytes data, Span span) {
  const std::size_t size = span.end - span.start;
  ensure(size + 2);
  const std::uint8_t* from = data.data() + span.start;
  std::uint8_t* to = store_.get() + length_;
  *to++ = '"';
#if defined(__SSE2__)
  constexpr std::size_t width = 16;
  if (data.size() - span.end < width) return false;
  // Of 0x80 and above the sign bit is set: one comparison finds them and the control characters.
  const auto unusualOf = [space = _mm_set1_epi8(' '), quote = _mm_set1_epi8('"'),
                          backslash = _mm_set1_epi8('\\')](__m128i block) {
    const __m128i escaped = _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash));
    return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_or_si128(escaped, _mm_cmplt_epi8(block, space))));
  };
  const auto copy = [&] {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), block);
    return unusualOf(block);
  };
  std::size_t left = size;
  for (; left > width; left -= width, from += width, to += width) {
    if (copy() != 0) return false;
  }
  const std::uint32_t wanted = (std::uint32_t{1} << left) - 1;
  if ((copy() & wanted) != 0) return false;
  to += left;
#else
  std::uint8_t seen = 0;
  for (std::size_t i = 0; i < size; i++) {
    seen |= needs[from[i]];
    to[i] = from[i];
  }
  if (seen != 0) return false;
  to += size;
#endif
  *to = '"';
  length_ += size + 2;
  return true;
}

/// A string that may need backslashes, or a literal.
void Writer::unusual(Bytes data) {
  std::uint8_t seen = 0;
  for (const std::uint8_t value : data) seen |= needs[value];
  if ((seen & needsLiteral) != 0) {
    byte('{');
    decimal(data.size());
    ascii("}\r\n");
    bytes(data);
    return;
  }
  ensure(2 * data.size() + 2);
  put('"');
  for (const std::uint8_t value : data) {
    if (needs[value] != 0) put('\\');
    put(value);
  }
  put('"');
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
