// Searches whose answer is near: line by line through a header, a colon, a comment. A call of memchr costs more than
// what it finds; SSE2 is part of every x86-64, so nothing is chosen while the program runs.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "bytes.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace mailhaul::mime {

#if defined(__SSE2__)

namespace detail {

/// Bit i is set where the byte at `at + i` is `byte`; 16 bytes are read.
inline std::uint32_t equals16(const std::uint8_t* at, char byte) noexcept {
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(byte))));
}

inline std::uint64_t equals64(const std::uint8_t* at, char byte) noexcept {
  const std::uint64_t low = equals16(at, byte) | equals16(at + 16, byte) << 16U;
  const std::uint64_t high = equals16(at + 32, byte) | equals16(at + 48, byte) << 16U;
  return low | high << 32U;
}

}  // namespace detail

/// The LFs of a message, one after the other.
class LineEnds {
 public:
  LineEnds(Bytes data, std::size_t from) noexcept : data_(data), read_(from) {}

  /// Offset of the next LF, or the size when there is none.
  std::size_t next() noexcept {
    while (found_ == 0) {
      if (data_.size() - read_ < 64) return nextOfRest();
      found_ = detail::equals64(data_.data() + read_, '\n');
      block_ = read_;
      read_ += 64;
    }
    const std::size_t lf = block_ + static_cast<std::size_t>(std::countr_zero(found_));
    found_ &= found_ - 1;
    return lf;
  }

 private:
  std::size_t nextOfRest() noexcept {
    const std::size_t lf = findByte(data_, read_, data_.size(), '\n');
    if (lf < data_.size()) read_ = lf + 1;
    return lf;
  }

  Bytes data_;
  /// So far LFs were looked for.
  std::size_t read_;
  /// Where the last 64 bytes begin, and those of their LFs that were not given yet.
  std::size_t block_ = 0;
  std::uint64_t found_ = 0;
};

/// As findByte, for a byte that is expected within the next few.
inline std::size_t findNear(Bytes data, std::size_t from, std::size_t end, char byte) noexcept {
  std::size_t at = from;
  for (int blocks = 0; blocks < 2 && at < end && data.size() - at >= 16; blocks++, at += 16) {
    const std::uint32_t found = detail::equals16(data.data() + at, byte);
    if (found == 0) continue;
    const std::size_t place = at + static_cast<std::size_t>(std::countr_zero(found));
    return place < end ? place : end;
  }
  return findByte(data, at, end, byte);
}

#else

class LineEnds {
 public:
  LineEnds(Bytes data, std::size_t from) noexcept : data_(data), read_(from) {}

  std::size_t next() noexcept {
    const std::size_t lf = findByte(data_, read_, data_.size(), '\n');
    if (lf < data_.size()) read_ = lf + 1;
    return lf;
  }

 private:
  Bytes data_;
  std::size_t read_;
};

inline std::size_t findNear(Bytes data, std::size_t from, std::size_t end, char byte) noexcept {
  return findByte(data, from, end, byte);
}

#endif

}  // namespace mailhaul::mime
