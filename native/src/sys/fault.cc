#include "sys/fault.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace mailhaul::sys {
namespace {

// By thread: a worker's counter must not outlive the worker's hold on its memory.
thread_local Fault armed;

int hit() noexcept {
  const std::int32_t call = std::atomic_ref<std::int32_t>(*armed.counter).fetch_add(1) + 1;
  if (call != armed.at) return 0;
  if (armed.action == FaultAction::kill) {
    ::kill(::getpid(), SIGKILL);
    // The signal may arrive a moment later, and nothing may happen in between.
    for (;;) ::pause();
  }
  // To this thread, which so stops before it goes on; all others stop with it.
  if (armed.action == FaultAction::stop) ::raise(SIGSTOP);
  return armed.action == FaultAction::fail ? armed.error : 0;
}

}  // namespace

void armFault(const Fault& fault) noexcept { armed = fault; }

int effect() noexcept { return armed.counter == nullptr ? 0 : hit(); }

}  // namespace mailhaul::sys
