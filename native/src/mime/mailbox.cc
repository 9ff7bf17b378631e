#include "mailbox.h"

#include <array>
#include <bit>
#include <initializer_list>
#include <string_view>

#include "lines.h"
#include "sys/processor.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define MAILHAUL_MIME_AVX2 1
#include <immintrin.h>
#endif

namespace mailhaul::mime {
namespace {

constexpr std::size_t kWindow = 64;

/// What the 64 bytes from a position on are, a bit a byte. Bytes behind the end of the list are both.
struct Marks {
  /// No part of an atom: white space or a delimiter.
  std::uint64_t stops = 0;
  /// No part of a domain. Some that could be one are here too; they are left to the general form.
  std::uint64_t notDomain = 0;
};

Marks marksPortable(Bytes data, std::size_t from, std::size_t size) noexcept {
  Marks marks;
  for (std::size_t i = 0; i < size; i++) {
    const std::uint8_t byte = data[from + i];
    marks.stops |= std::uint64_t{!isAtom(byte)} << i;
    marks.notDomain |= std::uint64_t{!isDomain(byte)} << i;
  }
  return marks;
}

#ifdef MAILHAUL_MIME_AVX2

/// A byte is of a class when both halves of it are: a bit stands for a class, two table look-ups give all eight.
struct Classes {
  alignas(32) std::array<std::uint8_t, 32> low{};
  alignas(32) std::array<std::uint8_t, 32> high{};
};

constexpr std::uint8_t stopClasses = 0x0f;

constexpr Classes makeClasses() {
  Classes classes;
  std::uint8_t bit = 1;
  const auto add = [&](std::initializer_list<std::uint8_t> highs, std::string_view bytes) {
    for (const std::uint8_t high : highs) classes.high[high] = classes.high[high + 16U] |= bit;
    for (const char byte : bytes) {
      const auto low = static_cast<std::uint8_t>(byte & 0x0f);
      classes.low[low] = classes.low[low + 16U] |= bit;
    }
    bit = static_cast<std::uint8_t>(bit << 1U);
  };
  add({0}, "\t\n\r");
  add({2}, " \"(,");
  add({3}, ":;<>");
  add({4}, "@");
  add({2}, " \"(),");
  add({3}, ";<>");
  add({5, 7}, "[\\_");  // and `{`, `|`, DEL
  add({0, 1}, "0123456789:;<=>?");
  return classes;
}

constexpr Classes classes = makeClasses();

__attribute__((target("avx2"))) __m256i load(const std::uint8_t* at) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

__attribute__((target("avx2"))) Marks marksAvx2(const std::uint8_t* from) noexcept {
  const __m256i lows = load(classes.low.data());
  const __m256i highs = load(classes.high.data());
  const __m256i half = _mm256_set1_epi8(0x0f);
  const __m256i stops = _mm256_set1_epi8(stopClasses);
  const __m256i zero = _mm256_setzero_si256();
  Marks not_;
  for (std::size_t i = 0; i < kWindow; i += 32) {
    const __m256i block = load(from + i);
    const __m256i low = _mm256_shuffle_epi8(lows, _mm256_and_si256(block, half));
    const __m256i high = _mm256_shuffle_epi8(highs, _mm256_and_si256(_mm256_srli_epi16(block, 4), half));
    const __m256i both = _mm256_and_si256(low, high);
    const auto atom =
        static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(both, stops), zero)));
    const auto domain =
        static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_andnot_si256(stops, both), zero)));
    not_.stops |= std::uint64_t{atom} << i;
    not_.notDomain |= std::uint64_t{domain} << i;
  }
  return {~not_.stops, ~not_.notDomain};
}

#endif

Marks marksOf(Bytes data, std::size_t from, std::size_t end) noexcept {
  const std::size_t size = end - from;
  Marks marks;
#ifdef MAILHAUL_MIME_AVX2
  if (data.size() - from >= kWindow && sys::vectors() == sys::Vectors::avx2) {
    marks = marksAvx2(data.data() + from);
  } else {
    marks = marksPortable(data, from, size < kWindow ? size : kWindow);
  }
#else
  marks = marksPortable(data, from, size < kWindow ? size : kWindow);
#endif
  if (size < kWindow) {
    marks.stops |= ~std::uint64_t{0} << size;
    marks.notDomain |= ~std::uint64_t{0} << size;
  }
  return marks;
}

/// Reads one mailbox. Places are counted from its first byte; kWindow is past all that is looked at.
class MailboxReader {
 public:
  MailboxReader(Bytes data, std::size_t from, std::size_t end) noexcept
      : data_(data), from_(from), size_(end - from), marks_(marksOf(data, from, end)) {}

  /// Finds the parts; false when it has no common form.
  bool read() noexcept {
    const std::size_t word = nextStop(0);
    if (at(word) == '@') {
      local_ = {from_, from_ + word};
      return word > 0 && readDomain(word + 1) && readBehind();
    }
    const std::size_t angle = at(word) == '"' && word == 0 ? afterQuoted() : afterWords(word);
    if (at(angle) != '<') return false;
    const std::size_t localEnd = nextStop(angle + 1);
    local_ = {from_ + angle + 1, from_ + localEnd};
    if (at(localEnd) != '@' || localEnd == angle + 1 || !readDomain(localEnd + 1) || at(next_) != '>') return false;
    next_++;
    return true;
  }

  /// False when some of it is no plain string.
  bool write(Writer& out) const {
    out.byte('(');
    if (name_.start == name_.end) {
      out.nil();
    } else if (!out.plain(data_, name_)) {
      return false;
    }
    out.ascii(" NIL ");
    if (!out.plain(data_, local_)) return false;
    out.byte(' ');
    if (!out.plain(data_, domain_)) return false;
    out.byte(')');
    return true;
  }

  [[nodiscard]] std::size_t end() const noexcept { return from_ + next_; }

 private:
  /// NUL, which no list has in it, at the end and past the window.
  [[nodiscard]] std::uint8_t at(std::size_t place) const noexcept {
    return place < size_ && place < kWindow ? data_[from_ + place] : std::uint8_t{0};
  }

  [[nodiscard]] static std::size_t next(std::uint64_t marks, std::size_t place) noexcept {
    if (place >= kWindow) return kWindow;
    return place + static_cast<std::size_t>(std::countr_zero(marks >> place));
  }
  [[nodiscard]] std::size_t nextStop(std::size_t place) const noexcept { return next(marks_.stops, place); }

  /// The words of a name, one space after each: as they are written. The first one ends at `word`.
  std::size_t afterWords(std::size_t word) noexcept {
    std::size_t end = word;
    while (at(end) == ' ') {
      const std::size_t following = nextStop(end + 1);
      if (following == end + 1) {
        name_ = {from_, from_ + end};
        return following;
      }
      end = following;
    }
    name_ = {from_, from_ + end};
    return end;
  }

  /// A quoted string and one space, if there is one. What needs more than to be copied is no plain string.
  std::size_t afterQuoted() noexcept {
    const std::size_t end = from_ + size_;
    const std::size_t quote = findNear(data_, from_ + 1, end, '"');
    if (quote >= end || quote - from_ >= kWindow) return kWindow;
    name_ = {from_ + 1, quote};
    const std::size_t behind = quote - from_ + 1;
    return at(behind) == ' ' ? behind + 1 : behind;
  }

  bool readDomain(std::size_t place) noexcept {
    next_ = next(marks_.notDomain, place);
    domain_ = {from_ + place, from_ + next_};
    return next_ > place && next_ < kWindow;
  }

  /// After an address without angle brackets: the end, or a comment with the name and the end.
  bool readBehind() noexcept {
    if (at(next_) == ' ' && at(next_ + 1) == '(') {
      const std::size_t end = from_ + size_;
      const std::size_t start = from_ + next_ + 2;
      const std::size_t close = findNear(data_, start, end, ')');
      if (close >= end || findNear(data_, start, close, '(') < close) return false;
      name_ = {start, close};
      next_ = close + 1 - from_;
      return next_ == size_ || data_[from_ + next_] == ',';
    }
    return next_ == size_ || at(next_) == ',' || at(next_) == ';';
  }

  Bytes data_;
  std::size_t from_;
  std::size_t size_;
  Marks marks_;
  Span name_;
  Span local_;
  Span domain_;
  /// What follows the address.
  std::size_t next_ = 0;
};

}  // namespace

std::size_t writeMailbox(Bytes data, std::size_t from, std::size_t end, Writer& out) {
  MailboxReader reader(data, from, end);
  if (!reader.read()) return from;
  const std::size_t before = out.size();
  if (reader.write(out)) return reader.end();
  out.truncate(before);
  return from;
}

}  // namespace mailhaul::mime
