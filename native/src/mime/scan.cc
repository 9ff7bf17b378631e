#include "scan.h"

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

__attribute__((target("avx2,popcnt"))) std::size_t countLfsAvx2(Bytes data, std::size_t from,
                                                                std::size_t end) noexcept {
  const __m256i lf = _mm256_set1_epi8('\n');
  std::size_t count = 0;
  std::size_t at = from;
  for (; end - at >= 2 * width; at += 2 * width) {
    const auto low = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(data, at), lf)));
    const auto high = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(data, at + width), lf)));
    count += static_cast<std::size_t>(_mm_popcnt_u64(low | (std::uint64_t{high} << 32U)));
  }
  return count + countLfsPortable(data, at, end);
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

std::size_t findDashLine(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) noexcept {
#ifdef MAILHAUL_MIME_AVX2
  if (hasAvx2()) return findDashLineAvx2(data, from, end, lines);
#endif
  return findDashLinePortable(data, from, end, lines);
}

}  // namespace mailhaul::mime
