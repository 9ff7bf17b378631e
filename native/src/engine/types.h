// What the engine takes and gives, as src/engine/types.ts defines it: one folder a call, one column a property.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mailhaul::engine {

/// Values of EngineOutput.methods (METHOD in types.ts).
enum class Method : std::uint8_t { failed = 0, link = 1, adopted = 2, reflink = 3, copy = 4, rewrite = 5, shared = 6 };

/// Values of EngineOutput.errors (MESSAGE_ERRORS in types.ts).
enum class MessageError : std::uint8_t {
  none = 0,
  notRegular = 1,
  foreignOwner = 2,
  writableByOthers = 3,
  unreadable = 4,
  vanished = 5,
  changed = 6,
  target = 7,
};

/// FLAG in types.ts.
namespace flag {
constexpr std::uint32_t seen = 1, answered = 2, flagged = 4, deleted = 8, draft = 16;
}

/// How one step went: fine, a failure of this message, or (`halt` names the call) the end of the folder.
struct [[nodiscard]] Outcome {
  MessageError error = MessageError::none;
  int errorNumber = 0;  ///< errno, 0 for none
  const char* halt = nullptr;

  [[nodiscard]] bool ok() const noexcept { return error == MessageError::none && halt == nullptr; }
  /// As many files are open as may be: some that are not needed now can be closed, and the step repeated.
  [[nodiscard]] bool lacksDescriptors() const noexcept;
  [[nodiscard]] static Outcome fail(MessageError why, int number = 0) noexcept { return {why, number, nullptr}; }
};

/// A failed call on a source file: only what the process lacks ends the folder, anything else is this message's
/// failure.
[[nodiscard]] Outcome sourceFailure(int error, const char* call) noexcept;
/// A failed call on the target: a full, read-only, broken or lost device ends the folder too.
[[nodiscard]] Outcome targetFailure(int error, const char* call) noexcept;
/// The process lacks descriptors or memory: the next message would meet it as well.
[[nodiscard]] bool isLacking(int error) noexcept;
/// errno of a disk or file server that does not answer any more, not of one file (the list of outcome.ts).
[[nodiscard]] bool isDeviceError(int error) noexcept;

/// MessageTable of types.ts: views of the caller's columns, ascending uid, checked by the caller.
struct MessageTable {
  std::uint32_t count = 0;
  std::span<const std::uint32_t> uids;
  std::span<const double> internalDates;  ///< seconds since 1970
  std::span<const std::uint32_t> flags;
  std::span<const std::uint32_t> keywordOffsets;  ///< count + 1 entries
  std::span<const std::uint32_t> keywordRefs;
  std::span<const std::uint8_t> names;
  std::span<const std::uint32_t> nameOffsets;  ///< count + 1 entries
  std::span<const std::uint64_t> inodes;
  std::span<const double> sizes;         ///< bytes
  std::span<const std::int64_t> mtimes;  ///< nanoseconds since 1970
  std::span<const std::uint8_t> refused;

  [[nodiscard]] std::string_view name(std::size_t i) const noexcept {
    return {reinterpret_cast<const char*>(names.data()) + nameOffsets[i], nameOffsets[i + 1] - nameOffsets[i]};
  }
  [[nodiscard]] std::span<const std::uint32_t> keywords(std::size_t i) const noexcept {
    return keywordRefs.subspan(keywordOffsets[i], keywordOffsets[i + 1] - keywordOffsets[i]);
  }
};

/// Slots of the shared progress array (PROGRESS in types.ts), whose beginning is aligned for 64 bits.
class Progress {
 public:
  explicit Progress(std::int32_t* slots) noexcept : slots_(slots) {}
  [[nodiscard]] bool cancelled() const noexcept { return slot(0).load(std::memory_order_relaxed) != 0; }
  /// One more message of `bytes` bytes is done.
  void add(std::uint64_t bytes) noexcept {
    slot(1).fetch_add(1, std::memory_order_relaxed);
    bytes_ += bytes;
    if (bytes_ < 1024) return;
    std::atomic_ref<std::int64_t>(*reinterpret_cast<std::int64_t*>(slots_ + 2))
        .fetch_add(static_cast<std::int64_t>(bytes_ / 1024), std::memory_order_relaxed);
    bytes_ %= 1024;
  }

 private:
  [[nodiscard]] std::atomic_ref<std::int32_t> slot(std::size_t i) const noexcept {
    return std::atomic_ref<std::int32_t>(slots_[i]);
  }
  std::int32_t* slots_;
  std::uint64_t bytes_ = 0;  ///< not reported yet
};

/// The account that message files have and get.
struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
  bool set = false;  ///< this process is root and gives files away
};

/// EngineInput of types.ts.
struct Folder {
  int sourceFd = -1;
  int targetFd = -1;
  int singleFd = -1;  ///< -1: copies are not shared
  std::uint32_t uidvalidity = 0;
  std::uint32_t uidnext = 0;
  std::vector<std::string> keywords;
  std::span<const std::uint8_t> admin;
  MessageTable messages;
  Owner owner;
  bool takeForeign = false;
  bool publishWithFailures = false;
  bool resumed = false;
  std::uint32_t job = 0;  ///< of Jobs::announce; 0: nobody helps
  std::int32_t* progress = nullptr;
};

/// IndexSummary of types.ts.
struct Summary {
  std::uint32_t messages = 0;
  std::uint64_t bytes = 0;
  std::int64_t lastAppend = 0;
  std::uint32_t seen = 0, answered = 0, flagged = 0, deleted = 0, draft = 0;
};

/// EngineTimes of types.ts, nanoseconds summed over threads.
struct Times {
  std::uint64_t read = 0;
  std::uint64_t parse = 0;
  std::uint64_t place = 0;
  std::uint64_t index = 0;

  Times& operator+=(const Times& more) noexcept {
    read += more.read;
    parse += more.parse;
    place += more.place;
    index += more.index;
    return *this;
  }
};

/// EngineOutput of types.ts.
struct Result {
  std::vector<Method> methods;
  std::vector<MessageError> errors;
  std::vector<std::int32_t> errorNumbers;
  bool published = false;
  Summary summary;  ///< of what was published
  std::uint64_t bytes = 0;
  int haltError = 0;
  const char* haltCall = nullptr;
  bool haltOnSource = false;  ///< the call was on the 3.x side
  bool stopped = false;
  Times times;
};

}  // namespace mailhaul::engine
