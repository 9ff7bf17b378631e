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
std::uint8_t is(std::uint8_t byte, char wanted) noexcept { return static_cast<std::uint8_t>(byte == wanted); }

/// Counts in bytes, which so small a block cannot make overflow, so that the compiler compares many bytes at once.
inline LineEndCounts countLineEndsOfBlock(const std::uint8_t* block, std::size_t size) noexcept {
  std::uint8_t lfs = 0;
  std::uint8_t whole = 0;
  const std::uint8_t* const before = block - 1;
  for (std::size_t i = 0; i < size; i++) {
    lfs = static_cast<std::uint8_t>(lfs + is(block[i], '\n'));
    whole = static_cast<std::uint8_t>(whole + (is(block[i], '\n') & is(before[i], '\r')));
  }
  return {lfs, static_cast<std::size_t>(lfs - whole)};
}

LineEndCounts countLineEndsPortable(Bytes data, std::size_t from, std::size_t end) noexcept {
  constexpr std::size_t block = 128;
  LineEndCounts counts;
  const auto add = [&counts](const LineEndCounts& more) {
    counts.lfs += more.lfs;
    counts.bare += more.bare;
  };
  std::size_t at = from;
  for (; end - at >= block; at += block) add(countLineEndsOfBlock(data.data() + at, block));
  add(countLineEndsOfBlock(data.data() + at, end - at));
  return counts;
}

std::size_t findDashLinePortable(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) noexcept {
  for (std::size_t lf = findByte(data, from, end, '\n'); lf < end; lf = findByte(data, lf + 1, end, '\n')) {
    lines++;
    if (end - lf > 2 && data[lf + 1] == '-' && data[lf + 2] == '-') return lf + 1;
  }
  return end;
}

/// Notes the lines behind LFs in [from, end) that begin with two dashes; `lfs` are those before `from`.
void noteDashLines(Bytes data, std::size_t from, std::size_t end, std::uint64_t lfs, LineSurvey& survey) {
  for (std::size_t lf = findByte(data, from, end, '\n'); lf < end; lf = findByte(data, lf + 1, end, '\n')) {
    lfs++;
    if (data.size() - lf <= 2 || data[lf + 1] != '-' || data[lf + 2] != '-') continue;
    survey.hasAllDashLines = survey.hasAllDashLines && survey.dashLines.size() < LineSurvey::maxDashLines;
    if (survey.hasAllDashLines) survey.dashLines.push_back({lf + 1, lfs});
  }
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

/// Bytes of -1 where a line ends.
struct LineEndBytes {
  __m256i lfs;
  __m256i bare;
};

inline __attribute__((always_inline, target("avx2"))) LineEndBytes lineEndsAt(Bytes data, std::size_t at) noexcept {
  const __m256i lfs = _mm256_cmpeq_epi8(load(data, at), _mm256_set1_epi8('\n'));
  return {lfs, _mm256_andnot_si256(_mm256_cmpeq_epi8(load(data, at - 1), _mm256_set1_epi8('\r')), lfs)};
}

__attribute__((target("avx2,popcnt"))) std::size_t countBytes(__m256i bytes, std::uint32_t wanted) noexcept {
  return static_cast<std::size_t>(_mm_popcnt_u32(static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes)) & wanted));
}

__attribute__((target("avx2,popcnt"))) LineEndCounts countLineEndsAvx2(Bytes data, std::size_t from,
                                                                       std::size_t end) noexcept {
  if (end - from < width) return countLineEndsPortable(data, from, end);
  // Each byte of a vector counts for its place.
  constexpr std::size_t most = 255;
  constexpr std::size_t unrolled = 4;
  LineEndCounts counts;
  std::size_t at = from;
  while (end - at >= width) {
    __m256i lfs = _mm256_setzero_si256();
    __m256i bare = _mm256_setzero_si256();
    std::size_t left = std::min((end - at) / width, most);
    for (; left >= unrolled; left -= unrolled, at += unrolled * width) {
#pragma GCC unroll 4
      for (std::size_t i = 0; i < unrolled; i++) {
        const LineEndBytes found = lineEndsAt(data, at + i * width);
        lfs = _mm256_sub_epi8(lfs, found.lfs);
        bare = _mm256_sub_epi8(bare, found.bare);
      }
    }
    for (; left > 0; left--, at += width) {
      const LineEndBytes found = lineEndsAt(data, at);
      lfs = _mm256_sub_epi8(lfs, found.lfs);
      bare = _mm256_sub_epi8(bare, found.bare);
    }
    counts.lfs += sum(lfs);
    counts.bare += sum(bare);
  }
  if (at < end) {
    // The last vector again, those of its bytes that were not counted.
    const std::uint32_t wanted = ~std::uint32_t{0} << (width - (end - at));
    const LineEndBytes found = lineEndsAt(data, end - width);
    counts.lfs += countBytes(found.lfs, wanted);
    counts.bare += countBytes(found.bare, wanted);
  }
  return counts;
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

/// Whole steps from `at` on, which it moves behind them; a byte behind a step is read too.
__attribute__((target("avx2"))) void surveySteps(Bytes data, std::size_t& at, std::size_t end, LineSurvey& survey) {
  constexpr std::size_t unrolled = 4;
  constexpr std::size_t step = unrolled * width;
  constexpr std::size_t mostSteps = 255 / unrolled;
  const __m256i dash = _mm256_set1_epi8('-');
  while (end - at >= step) {
    __m256i lfs = _mm256_setzero_si256();
    __m256i bare = _mm256_setzero_si256();
    for (std::size_t steps = std::min((end - at) / step, mostSteps); steps > 0; steps--, at += step) {
      __m256i dashes = _mm256_setzero_si256();
      const __m256i before = lfs;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < unrolled; i++) {
        const LineEndBytes found = lineEndsAt(data, at + i * width);
        lfs = _mm256_sub_epi8(lfs, found.lfs);
        bare = _mm256_sub_epi8(bare, found.bare);
        const __m256i isDash = _mm256_cmpeq_epi8(load(data, at + i * width + 1), dash);
        dashes = _mm256_or_si256(dashes, _mm256_and_si256(found.lfs, isDash));
      }
      if (_mm256_testz_si256(dashes, dashes) == 0) [[unlikely]] {
        noteDashLines(data, at, at + step, survey.counts.lfs + sum(before), survey);
      }
    }
    survey.counts.lfs += sum(lfs);
    survey.counts.bare += sum(bare);
  }
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

LineEndCounts countLineEnds(Bytes data, std::size_t from, std::size_t end) noexcept {
#ifdef MAILHAUL_MIME_AVX2
  if (hasAvx2()) return countLineEndsAvx2(data, from, end);
#endif
  return countLineEndsPortable(data, from, end);
}

void surveyLines(Bytes data, std::size_t from, std::size_t end, LineSurvey& survey) {
  std::size_t at = from;
#ifdef MAILHAUL_MIME_AVX2
  if (const std::size_t last = std::min(end, data.size() - 1); last > at && hasAvx2()) {
    surveySteps(data, at, last, survey);
  }
#endif
  noteDashLines(data, at, end, survey.counts.lfs, survey);
  const LineEndCounts rest = countLineEnds(data, at, end);
  survey.counts.lfs += rest.lfs;
  survey.counts.bare += rest.bare;
}

std::size_t findDashLine(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) noexcept {
#ifdef MAILHAUL_MIME_AVX2
  if (hasAvx2()) return findDashLineAvx2(data, from, end, lines);
#endif
  return findDashLinePortable(data, from, end, lines);
}

}  // namespace mailhaul::mime
