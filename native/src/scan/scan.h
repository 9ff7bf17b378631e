// Reading directories: names first, then their stats in the order of inode numbers, which is the order that disks
// like. Memory is what the names need; a directory of a million files costs one pass.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mailhaul::scan {

/// One directory entry; the name is names[nameOffset … nameOffset + nameBytes) of its listing.
struct Entry {
  std::uint64_t inode = 0;
  std::uint64_t nameOffset = 0;
  std::uint32_t nameBytes = 0;
  std::uint8_t type = 0;  ///< DT_* hint; DT_UNKNOWN where the file system does not tell
};

/// Names of a directory without `.` and `..`, each followed by a NUL so that it can be passed to a system call.
struct Listing {
  std::string names;
  std::vector<Entry> entries;

  [[nodiscard]] const char* name(const Entry& entry) const noexcept { return names.data() + entry.nameOffset; }
};

/// Lists the directory open as `fd` through a description of its own. Names with a leading dot are left out unless
/// `withHidden`. Returns 0 or errno. Throws std::bad_alloc.
[[nodiscard]] int list(int fd, bool withHidden, Listing& out);

/// The columns of DirectoryScan (src/engine/types.ts) as rows.
struct Row {
  Entry entry;
  double size = 0;         ///< bytes
  std::int64_t mtime = 0;  ///< nanoseconds since 1970
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t nlink = 0;
  int error = 0;  ///< errno when it could not be statted
};

struct Scan {
  Listing listing;
  std::vector<Row> rows;  ///< by inode, then name
};

/// Lists and stats; a directory of many files together with those that help with `job` (engine/jobs.h; 0: nobody).
/// Returns 0 or the errno of reading the directory itself. Throws std::bad_alloc.
[[nodiscard]] int scan(int fd, std::uint32_t job, Scan& out);

/// The same through `fd` itself, which nobody has listed, with nobody's help.
[[nodiscard]] int scanOwn(int fd, Scan& out);

}  // namespace mailhaul::scan
