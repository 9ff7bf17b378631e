#include "sys/processor.h"

#include <algorithm>
#include <atomic>

namespace mailhaul::sys {
namespace {

/// The best that this processor has.
Vectors best() noexcept {
#if defined(__x86_64__)
  // popcnt came years before AVX2; a hypervisor may still hide it.
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("popcnt") != 0) return Vectors::avx2;
#endif
  return Vectors::none;
}

std::atomic<Vectors> chosen{best()};

}  // namespace

Vectors vectors() noexcept { return chosen.load(std::memory_order_relaxed); }

void useVectors(Vectors limit) noexcept { chosen.store(std::min(limit, best()), std::memory_order_relaxed); }

}  // namespace mailhaul::sys
