#include "scan.h"

#include <algorithm>

#include "sys/processor.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define MAILHAUL_MIME_AVX2 1
#include <immintrin.h>
#endif

namespace mailhaul::mime {
namespace {

std::size_t countLfsPortable(Bytes data, std::size_t from, std::size_t end) noexcept {
  std::size_t count = 0;
  for (std::size_t lf = findByte(data, from, end, '\n'); lf < end; lf = findByte(data, lf + 1, end, '\n')) count++;
  return count;
}

/// 1 or 0, without a branch.
std::uint8_t isBareLf(Bytes data, std::size_t at) noexcept {
  return static_cast<std::uint8_t>(int{data[at] == '\n'} & int{data[at - 1] != '\r'});
}

std::size_t countBareLfsPortable(Bytes data, std::size_t from, std::size_t end) noexcept {
  // Counted in a byte, which a block cannot make overflow, so that the compiler compares many bytes at once.
  constexpr std::size_t block = 128;
  std::size_t count = 0;
  std::size_t at = from;
  for (; end - at >= block; at += block) {
    std::uint8_t bare = 0;
    for (std::size_t i = 0; i < block; i++) bare = static_cast<std::uint8_t>(bare + isBareLf(data, at + i));
    count += bare;
  }
  for (; at < end; at++) count += isBareLf(data, at);
  return count;
}

std::size_t findDashLinePortable(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) noexcept {
  for (std::size_t lf = findByte(data, from, end, '\n'); lf < end; lf = findByte(data, lf + 1, end, '\n')) {
    lines++;
    if (end - lf > 2 && data[lf + 1] == '-' && data[lf + 2] == '-') return lf + 1;
  }
  return end;
}

#ifdef MAILHAUL_MIME_AVX2

constexpr std::size_t width = 32;

__attribute__((target("avx2"))) __m256i load(Bytes data, std::size_t at) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data.data() + at));
}

/// The bytes of `counters`, added up.
__attribute__((target("avx2"))) std::size_t sum(__m256i counters) noexcept {
  const __m256i quarters = _mm256_sad_epu8(counters, _mm256_setzero_si256());
  const __m128i halves = _mm_add_epi64(_mm256_castsi256_si128(quarters), _mm256_extracti128_si256(quarters, 1));
  return static_cast<std::size_t>(_mm_cvtsi128_si64(_mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves))));
}

/// Counts in [at, end) where `matches(place)` has bytes of -1, whole steps only, and moves `at` behind them. Each byte
/// of a vector counts for its place in all vectors of a step: four at most.
template <typename Matches>
inline __attribute__((always_inline, target("avx2"))) std::size_t countSteps(std::size_t& at, std::size_t end,
                                                                             Matches matches) noexcept {
  constexpr std::size_t step = 4 * width;
  constexpr std::size_t mostSteps = 255 / 4;
  std::size_t count = 0;
  while (end - at >= step) {
    __m256i counters = _mm256_setzero_si256();
    for (std::size_t steps = std::min((end - at) / step, mostSteps); steps > 0; steps--, at += step) {
      const __m256i low = _mm256_add_epi8(matches(at), matches(at + width));
      const __m256i high = _mm256_add_epi8(matches(at + 2 * width), matches(at + 3 * width));
      counters = _mm256_sub_epi8(counters, _mm256_add_epi8(low, high));
    }
    count += sum(counters);
  }
  return count;
}

__attribute__((target("avx2"))) std::size_t countLfsAvx2(Bytes data, std::size_t from, std::size_t end) noexcept {
  const __m256i lf = _mm256_set1_epi8('\n');
  std::size_t at = from;
  const std::size_t count = countSteps(
      at,
      end, [&](std::size_t place) __attribute__((target("avx2"))) { return _mm256_cmpeq_epi8(load(data, place), lf); });
  return count + countLfsPortable(data, at, end);
}

__attribute__((target("avx2"))) std::size_t countBareLfsAvx2(Bytes data, std::size_t from, std::size_t end) noexcept {
  const __m256i lf = _mm256_set1_epi8('\n');
  const __m256i cr = _mm256_set1_epi8('\r');
  std::size_t at = from;
  const std::size_t count = countSteps(
      at, end, [&](std::size_t place) __attribute__((target("avx2"))) {
        return _mm256_andnot_si256(_mm256_cmpeq_epi8(load(data, place - 1), cr),
                                   _mm256_cmpeq_epi8(load(data, place), lf));
      });
  return count + countBareLfsPortable(data, at, end);
}

__attribute__((target("avx2,popcnt"))) std::size_t findDashLineAvx2(Bytes data, std::size_t from, std::size_t end,
                                                                    std::uint64_t& lines) noexcept {
  const __m256i lf = _mm256_set1_epi8('\n');
  const __m256i dash = _mm256_set1_epi8('-');
  std::size_t at = from;
  for (; end - at >= width + 2; at += width) {
    const __m256i isLf = _mm256_cmpeq_epi8(load(data, at), lf);
    const __m256i isDash = _mm256_cmpeq_epi8(load(data, at + 1), dash);
    const auto lfs = static_cast<std::uint32_t>(_mm256_movemask_epi8(isLf));
    const __m256i both = _mm256_and_si256(isLf, isDash);
    if (_mm256_testz_si256(both, both) == 0) [[unlikely]] {
      const __m256i second = _mm256_cmpeq_epi8(load(data, at + 2), dash);
      const auto found = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_and_si256(both, second)));
      if (found != 0) {
        // The LFs up to and with the lowest one that dashes follow.
        lines += static_cast<std::uint64_t>(_mm_popcnt_u32(lfs & (found ^ (found - 1))));
        return at + static_cast<std::size_t>(__builtin_ctz(found)) + 1;
      }
    }
    lines += static_cast<std::uint64_t>(_mm_popcnt_u32(lfs));
  }
  return findDashLinePortable(data, at, end, lines);
}

bool hasAvx2() noexcept { return sys::vectors() == sys::Vectors::avx2; }

#endif

}  // namespace

std::size_t countLfs(Bytes data, std::size_t from, std::size_t end) noexcept {
#ifdef MAILHAUL_MIME_AVX2
  if (hasAvx2()) return countLfsAvx2(data, from, end);
#endif
  return countLfsPortable(data, from, end);
}

std::size_t countBareLfs(Bytes data, std::size_t from, std::size_t end) noexcept {
#ifdef MAILHAUL_MIME_AVX2
  if (hasAvx2()) return countBareLfsAvx2(data, from, end);
#endif
  return countBareLfsPortable(data, from, end);
}

std::size_t findDashLine(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) noexcept {
#ifdef MAILHAUL_MIME_AVX2
  if (hasAvx2()) return findDashLineAvx2(data, from, end, lines);
#endif
  return findDashLinePortable(data, from, end, lines);
}

}  // namespace mailhaul::mime
