#include "sys/pace.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <utility>

namespace mailhaul::sys {
namespace {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC, as process.hrtime() of Node

/// Nobody waits longer than this, in nanoseconds; so no sum overflows.
constexpr std::int64_t kLongest = 1'000'000'000'000'000'000;
/// A wait sees a new limit, or the end of the run, after this time.
constexpr std::chrono::milliseconds kNap{50};

struct Armed {
  std::int32_t* pace = nullptr;
  const std::int32_t* cancel = nullptr;
  std::int32_t changes = 0;  ///< of the limits, when this thread settled last
};

constinit thread_local Armed armed;

std::int64_t now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

bool isCancelled() noexcept {
  return std::atomic_ref<const std::int32_t>(*armed.cancel).load(std::memory_order_relaxed) != 0;
}

void waitUntil(std::int64_t due, Pace pace) noexcept {
  const std::int64_t began = now();
  if (due <= began) return;
  for (std::int64_t at = began; at < due && !isCancelled() && pace.changes() == armed.changes; at = now()) {
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(kNap, std::chrono::nanoseconds(due - at)));
  }
  pace.addWaited(now() - began);
}

}  // namespace

std::int64_t dueAfter(std::int64_t due, std::int64_t now, std::uint64_t amount, std::int64_t rate) noexcept {
  const double takes = std::ceil(static_cast<double>(amount) * 1e9 / static_cast<double>(rate));
  const auto nanoseconds = static_cast<std::int64_t>(std::min(takes, static_cast<double>(kLongest)));
  return std::min(std::max(due, now - Pace::kBurst) + nanoseconds, now + kLongest);
}

// Who changes a limit writes the rate, then what is due: so whoever has read the new `due` reads the new rate, and
// whoever has not, fails to exchange it.
std::int64_t Pace::bookOne(std::size_t rateAt, std::size_t dueAt, std::uint64_t amount, std::int64_t now) noexcept {
  std::int64_t due = number(dueAt).load();
  for (;;) {
    const std::int64_t rate = number(rateAt).load();
    if (rate <= 0 || amount == 0) return now;
    const std::int64_t next = dueAfter(due, now, amount, rate);
    if (number(dueAt).compare_exchange_weak(due, next)) return next;
  }
}

std::int64_t Pace::book(const Spent& work, std::int64_t now) noexcept {
  number(5).fetch_add(static_cast<std::int64_t>(work.bytes), std::memory_order_relaxed);
  number(6).fetch_add(static_cast<std::int64_t>(work.operations), std::memory_order_relaxed);
  return std::max(bookOne(1, 3, work.bytes, now), bookOne(2, 4, work.operations, now));
}

void armPace(std::int32_t* slots, const std::int32_t* cancel) noexcept {
  armed = {slots, cancel, slots == nullptr ? 0 : Pace(slots).changes()};
  spent = {};
}

bool isLimitedNow() noexcept { return armed.pace != nullptr && Pace(armed.pace).isLimited(); }

void settleNow() noexcept {
  if (!isPaced()) return;
  Pace pace(armed.pace);
  const std::int32_t changes = pace.changes();
  const Spent work = std::exchange(spent, {});
  // What was done before a change is forgiven, and without a limit nobody has settled for.
  if (std::exchange(armed.changes, changes) != changes) return;
  waitUntil(pace.book(work, now()), pace);
}

}  // namespace mailhaul::sys
