// Work of one folder that several threads share: whoever began it owns it, others help until nothing is left to take.
//
//     main thread   announce ─▶ id ──────────────────────────────────────────────▶ forget
//     owner                      open ─▶ work … ─▶ close, wait for the helpers
//     helper                help: wait until it is open ─▶ one piece ─▶ leave
//
// Invariants: an owner leaves `Opened` only when no helper is in its job any more, so a job may work on the owner's
// memory and descriptors. A helper that comes too late, or for a job that nobody opened, returns at once.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace mailhaul::engine {

struct Scratch;

/// What a helper did.
struct Piece {
  bool taken = false;  ///< false: nothing was left to take
  std::uint32_t messages = 0;
  std::uint64_t bytes = 0;
};

class Job {
 public:
  virtual ~Job() = default;
  /// Takes a piece and does it. Called by several threads at once.
  [[nodiscard]] virtual Piece help(Scratch& scratch) noexcept = 0;
};

class Jobs {
 public:
  /// Those of this process: its threads have one copy of the addon.
  [[nodiscard]] static Jobs& ofProcess() noexcept;

  /// A number above 0 for work that is going to be opened. Throws std::bad_alloc.
  [[nodiscard]] std::uint32_t announce();
  /// Nobody opens it any more; helpers that wait for it go.
  void forget(std::uint32_t id) noexcept;
  /// Does a piece of the job of that number: then the thread is free for what is more urgent.
  [[nodiscard]] Piece help(std::uint32_t id, Scratch& scratch) noexcept;

  /// While it lives helpers may come. Of a number that was not announced, none do.
  class Opened {
   public:
    Opened(std::uint32_t id, Job& job) noexcept;
    ~Opened();
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

   private:
    std::uint32_t id_;
  };

 private:
  struct Slot {
    Job* job = nullptr;  ///< null: announced, not open
    std::uint32_t helpers = 0;
    bool closed = false;  ///< nobody may join any more
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::uint32_t, Slot> slots_;
  std::uint32_t last_ = 0;
};

}  // namespace mailhaul::engine
