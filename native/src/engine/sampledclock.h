// Times one message of seventeen, and counts it for all of them: reading the clock costs as much as a short parse. The
// thread's messages are counted through all its folders: the first of a folder, which makes directories, stands for
// itself only. Nor does the first of a batch that is read ahead, which waits for the others of the batch: 17 and the 64
// of a batch have no factor in common.
#pragma once

#include <chrono>
#include <cstdint>

namespace mailhaul::engine {

class SampledClock {
 public:
  static constexpr std::uint32_t kEvery = 17;

  /// Begins a message. `messages`: those of the thread so far.
  explicit SampledClock(std::uint32_t& messages) noexcept : runs_(messages++ % kEvery == 0) {
    if (runs_) last_ = std::chrono::steady_clock::now();
  }

  /// What passed since the last lap was spent on `on`, nanoseconds.
  void lap(std::uint64_t& on) noexcept {
    if (!runs_) return;
    const auto now = std::chrono::steady_clock::now();
    on += kEvery * static_cast<std::uint64_t>(std::chrono::nanoseconds(now - last_).count());
    last_ = now;
  }

 private:
  bool runs_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace mailhaul::engine
