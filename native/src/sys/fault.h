// The seam of the addon, twin of src/fs/seam.ts: every call with an effect on disk asks effect() right before it is
// made. All threads of the process count in one shared slot, so that the n-th call of a whole run can be stopped
// (kill), put off until SIGCONT (stop) or made to fail. Disarmed it costs one comparison.
#pragma once

#include <cstdint>

namespace mailhaul::sys {

enum class FaultAction : std::int32_t { none = 0, kill = 1, fail = 2, stop = 3 };

/// What happens at which call. The counter lies in memory that JavaScript shares between threads.
struct Fault {
  std::int32_t* counter = nullptr;
  std::int32_t at = 0;  ///< 1-based number of the call that is hit
  FaultAction action = FaultAction::none;
  std::int32_t error = 0;  ///< errno for `fail`
};

/// Arms or (with a null counter) disarms this thread. Whoever arms keeps the counter's memory alive.
void armFault(const Fault& fault) noexcept;

/// 0 when the call may be made, else the errno that it has to fail with. Does not return when it kills.
[[nodiscard]] int effect() noexcept;

}  // namespace mailhaul::sys
