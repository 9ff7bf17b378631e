// The registry of shared copies, `=single` (docs/formats/partition.md): where a 3.x inode with several links has to
// become a new file (another file system, bare LF, a full link count), the new file is registered under
// `<dev>-<inode>-<size>-<digest>`, and the next folder that holds the same inode links it instead of writing it again.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <span>

#include "engine/buffer.h"
#include "engine/newfile.h"
#include "engine/source.h"
#include "engine/target.h"
#include "engine/types.h"
#include "hash/xxh3.h"

namespace mailhaul::engine {

class SingleCopies {
 public:
  SingleCopies(int registryFd, const Owner& owner, Buffer& compare, WrittenInodes& written) noexcept
      : registryFd_(registryFd), owner_(owner), compare_(compare), written_(written) {}

  /// Puts content into a new file; the caller knows how (write or clone).
  using Fill = std::function<Outcome(NewFile&)>;

  /// Whether an earlier folder has registered a copy of `source` with this content.
  [[nodiscard]] bool isRegistered(const struct stat& source, const hash::Digest& digest) const noexcept;

  /// Links the shared copy of `source` with exactly this content as `name` in `dir`, registering a new one (made by
  /// `fill`) when there is none or its link count is full; `there` tells which. EEXIST of `name` comes back as a
  /// target failure. Throws std::bad_alloc.
  [[nodiscard]] Outcome place(Source& source, const hash::Digest& digest, std::span<const std::uint8_t> content,
                              const Fill& fill, int dir, const char* name, bool& there);

 private:
  enum class Registered { none, unusable, usable };

  [[nodiscard]] Outcome openRegistered(const char* key, Source& source, std::span<const std::uint8_t> content,
                                       sys::Fd& out, Registered& found);

  int registryFd_;
  Owner owner_;
  Buffer& compare_;
  WrittenInodes& written_;
};

}  // namespace mailhaul::engine
