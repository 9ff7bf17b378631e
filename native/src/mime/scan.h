// The two loops that touch every byte of a message's body. AVX2 where the processor has it, memchr elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"

namespace mailhaul::mime {

/// LFs in [from, end).
std::size_t countLfs(Bytes data, std::size_t from, std::size_t end) noexcept;

/// The first line in (from, end) that begins with "--": the offset of its first dash, or `end`. Adds the LFs before
/// it to `lines`. The line at `from` itself is not looked at.
std::size_t findDashLine(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) noexcept;

}  // namespace mailhaul::mime
