#include "sys/allocator.h"

#include <malloc.h>

namespace mailhaul::sys {

void returnFreedMemory() noexcept {
#if defined(__GLIBC__)
  // Setting one of them ends the adjusting of both. Other C libraries return memory by themselves.
  constexpr int kMapFrom = 256 << 10, kKeep = 1 << 20;
  static_cast<void>(::mallopt(M_MMAP_THRESHOLD, kMapFrom));
  static_cast<void>(::mallopt(M_TRIM_THRESHOLD, kKeep));
#endif
}

}  // namespace mailhaul::sys
