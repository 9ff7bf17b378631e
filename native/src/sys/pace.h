// The pace of a run: one limit of bytes and one of operations a second for all threads together (--bwlimit, --iops).
// Its memory is shared with JavaScript, which sets it (src/fs/pace.ts has the same layout and the same rules):
//
//     0 int32  not zero: there is a limit       4 int32  number of changes so far
//     8 int64  bytes a second, 0 no limit      16 int64  operations a second, 0 no limit
//    24 int64  bytes: due at                   32 int64  operations: due at       (CLOCK_MONOTONIC, nanoseconds)
//    40 int64  bytes counted                   48 int64  operations counted
//    56 int64  nanoseconds that threads waited, added up
//
// Every thread counts what it does in `spent`, and settles after each message: what was done is booked behind what all
// others have booked (virtual scheduling, ITU-T I.371), and the thread waits until that is due. So no thread waits
// before it has a reason, none overtakes another for long, and nothing is held but what the folder in hand holds
// anyway. A change of the limits forgives what is owed. Until a run of the process has its first limit, all of this is
// a load of `pacing` at each place.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mailhaul::sys {

/// Set for good when a run of this process gets a limit. A plain variable: those by thread cost a call in a library.
inline std::atomic<bool> pacing{false};

[[nodiscard]] inline bool isPacing() noexcept { return pacing.load(std::memory_order_relaxed); }

/// What a thread did: bytes read and written; names looked at, files opened, made, linked, renamed and removed.
struct Spent {
  std::uint64_t bytes = 0;
  std::uint64_t operations = 0;
};

/// By this thread since it last settled, or was armed.
constinit inline thread_local Spent spent;

inline void countBytes(std::size_t bytes) noexcept {
  if (isPacing()) spent.bytes += bytes;
}
inline void countOperation() noexcept {
  if (isPacing()) ++spent.operations;
}

/// View of the shared memory.
class Pace {
 public:
  /// Of 32 bits.
  static constexpr std::size_t kSlots = 16;
  /// Time without work that may be made up for, nanoseconds.
  static constexpr std::int64_t kBurst = 100'000'000;

  explicit Pace(std::int32_t* slots) noexcept : slots_(slots) {}

  [[nodiscard]] bool isLimited() const noexcept { return word(0).load(std::memory_order_relaxed) != 0; }
  [[nodiscard]] std::int32_t changes() const noexcept { return word(1).load(); }

  /// Counts `work` and books it; the time at which all of it is due.
  [[nodiscard]] std::int64_t book(const Spent& work, std::int64_t now) noexcept;
  void addWaited(std::int64_t nanoseconds) noexcept { number(7).fetch_add(nanoseconds, std::memory_order_relaxed); }

 private:
  [[nodiscard]] std::atomic_ref<std::int32_t> word(std::size_t i) const noexcept {
    return std::atomic_ref<std::int32_t>(slots_[i]);
  }
  [[nodiscard]] std::atomic_ref<std::int64_t> number(std::size_t i) const noexcept {
    return std::atomic_ref<std::int64_t>(*reinterpret_cast<std::int64_t*>(slots_ + 2 * i));
  }
  [[nodiscard]] std::int64_t bookOne(std::size_t rateAt, std::size_t dueAt, std::uint64_t amount,
                                     std::int64_t now) noexcept;

  std::int32_t* slots_;
};

/// When `amount` more is due at `rate` a second (above 0), after what is due at `due` already.
[[nodiscard]] std::int64_t dueAfter(std::int64_t due, std::int64_t now, std::uint64_t amount,
                                    std::int64_t rate) noexcept;

/// Arms this thread, or (null) disarms it. `cancel`: not zero ends every wait. Whoever arms keeps the memory alive.
void armPace(std::int32_t* slots, const std::int32_t* cancel) noexcept;

/// isPaced(), where some thread of the process may be.
[[nodiscard]] bool isLimitedNow() noexcept;

/// This thread has to keep to a limit now.
[[nodiscard]] inline bool isPaced() noexcept { return isPacing() && isLimitedNow(); }

/// Books what was spent, if this thread is paced, and waits until it is due.
void settleNow() noexcept;

/// After each message: nothing may be held that others need soon.
inline void settle() noexcept {
  if (isPacing()) settleNow();
}

/// Bytes that a paced thread reads or writes at once.
inline constexpr std::size_t kPacedPiece = std::size_t{256} << 10;

/// The same in the middle of a large one: only when a good deal was spent.
inline void settlePiece() noexcept {
  if (isPacing() && spent.bytes >= kPacedPiece) settleNow();
}

}  // namespace mailhaul::sys
