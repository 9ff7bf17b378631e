// What the fuzz targets say when a promise of the code under test does not hold.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace mailhaul::fuzz {

/// Ends the process, which libFuzzer takes for a crash and keeps the input.
inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "promise broken: %s\n", promise);
  std::abort();
}

}  // namespace mailhaul::fuzz
