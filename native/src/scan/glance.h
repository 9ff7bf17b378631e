// What `upgrade -s` sees of a folder, in few calls: its sub-directories, and the beginning of a small file in it. Only
// the usual case is answered. For everything else the answer is `other`: the caller asks one by one with Node's calls,
// which know what to say of a link, of a file of another account, of an error (src/fs/glance.ts).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "sys/fd.h"

namespace mailhaul::scan {

enum class Seen : std::uint8_t { here, absent, other };

/// Files that are read beside the messages; SMALL_FILES of src/fs/glance.ts.
inline constexpr std::array<std::string_view, 3> kSmallFiles{".mailbox", ".acl", ".subscriptions"};

struct Glance {
  sys::Fd opened;  ///< the directory that was named
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::string directories;  ///< names without a leading dot, `/` between them
  bool strays = false;      ///< something else has a name without a leading dot
  std::array<Seen, kSmallFiles.size()> files{Seen::absent, Seen::absent, Seen::absent};  ///< `here`: regular
};

/// Opens the directory `name` in `dir` and lists its sub-directories; a null `name`: `dir` itself, which nobody else
/// may be listing. Names of files pass by: a folder of a million messages takes no memory. Throws std::bad_alloc.
[[nodiscard]] Seen glance(int dir, const char* name, Glance& out);

struct Head {
  std::uint64_t size = 0;  ///< of the file
  std::string bytes;       ///< its first, `most` of them
};

/// Reads the beginning of the regular file `name`; `seen`: a listing just told that it is one. As root none: whose
/// files root may open is src/fs/ownedFile.ts's to say. Throws std::bad_alloc.
[[nodiscard]] Seen head(int dir, const char* name, bool seen, std::size_t most, Head& out);

}  // namespace mailhaul::scan
