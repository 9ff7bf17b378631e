// The loops that touch every byte of a message. AVX2 where the processor has it, memchr or what the compiler makes of
// it elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bytes.h"

namespace mailhaul::mime {

/// LFs in [from, end).
std::size_t countLfs(Bytes data, std::size_t from, std::size_t end) noexcept;

struct LineEndCounts {
  std::size_t lfs = 0;
  /// Those without a CR before them.
  std::size_t bare = 0;
};

/// Both in one pass over [from, end); `from` is at least 1.
LineEndCounts countLineEnds(Bytes data, std::size_t from, std::size_t end) noexcept;

/// The first line in (from, end) that begins with "--": the offset of its first dash, or `end`. Adds the LFs before
/// it to `lines`. The line at `from` itself is not looked at.
std::size_t findDashLine(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) noexcept;

/// A line that begins with "--".
struct DashLine {
  /// Offset of its first dash.
  std::size_t at;
  std::uint64_t lfsBefore;
};

/// The lines of a message, looked at piece by piece.
struct LineSurvey {
  LineEndCounts counts;
  /// Of which the message has so many at most, else none is kept.
  std::vector<DashLine> dashLines;
  bool hasAllDashLines = true;

  static constexpr std::size_t maxDashLines = 4096;
};

/// Adds what the LFs in [from, end) end, and the dash lines behind them, in one pass; `from` is at least 1, so
/// `data` is not empty. Throws std::bad_alloc.
void surveyLines(Bytes data, std::size_t from, std::size_t end, LineSurvey& survey);

}  // namespace mailhaul::mime
