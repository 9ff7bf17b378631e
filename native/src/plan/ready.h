// A plain folder, from its names to its plan, in one call: what prepareFolder of src/upgrade/steps.ts does in a dozen.
//
//     open ─▶ lock it and `.lock` ─▶ stamp ─▶ list, stat ─▶ plan ─▶ make the mailbox directory ─▶ lock that
//
// Only the usual case is answered: the server account at work, a folder that nobody has and that is plain (plain.h), a
// mailbox directory that is not there yet. For everything else the answer is false, nothing is held, and the caller
// goes the long way, which knows what to say of a link, a lock of somebody else, an error. A directory that was made by
// then stays, as after a kill: nothing is in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "plan/plain.h"
#include "scan/scan.h"
#include "sys/fd.h"

namespace mailhaul::plan {

struct Wanted {
  int sourceRoot = -1;
  std::string source;  ///< path below that, `/` between components
  int targetRoot = -1;
  std::string target;
  Rules rules;
  NameKey key;
  std::size_t room = 0;  ///< bytes that its columns may take; more, and the folder goes the long way
};

/// What a folder looks like (SourceStamp of src/upgrade/tasks.ts); without an index 0.
struct Stamp {
  std::uint64_t device = 0;
  std::int64_t modified = 0;
  std::uint64_t indexInode = 0;
  std::int64_t indexModified = 0;
  bool indexIsFile = false;
};

/// False: something could not be asked.
[[nodiscard]] bool stampOf(int folder, Stamp& out) noexcept;

struct Ready {
  sys::Fd source;            ///< locked
  sys::Fd lock;              ///< its `.lock`, locked
  sys::Fd target;            ///< locked
  std::uint64_t device = 0;  ///< of the target
  Stamp stamp;
  scan::Scan found;
  Plain plain;
  std::uint64_t scanNs = 0;
  std::uint64_t planNs = 0;

  /// Bytes of its columns, and the columns themselves in the order of src/upgrade/shared.ts; `out` is aligned to 8
  /// bytes.
  [[nodiscard]] std::size_t columnBytes() const noexcept;
  void writeColumns(std::span<std::uint8_t> out) const noexcept;
};

/// False: to be done the long way. Throws std::bad_alloc; nothing is held then either.
[[nodiscard]] bool makeReady(const Wanted& wanted, Ready& out);

}  // namespace mailhaul::plan
