// Which vector instructions the loops over whole messages may use: chosen while the program runs, because it may run on
// another processor than the one that it was built on.
#pragma once

#include <cstdint>

namespace mailhaul::sys {

enum class Vectors : std::uint8_t { none, avx2 };

[[nodiscard]] Vectors vectors() noexcept;

/// For tests and measurements: as on a processor that has no more than `limit`, from now on.
void useVectors(Vectors limit) noexcept;

}  // namespace mailhaul::sys
