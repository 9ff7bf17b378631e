// A new file that gets its name last: it has its owner, mode and content before anybody can see it. Without
// O_TMPFILE (NFS, old overlayfs) it is born under a temporary name, which a killed run leaves behind and the next one
// replaces or sweeps.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>

#include "engine/types.h"
#include "sys/fd.h"

namespace mailhaul::engine {

class NewFile {
 public:
  NewFile() = default;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  /// Removes the temporary name, when one was used and is still there.
  ~NewFile() { discard(); }

  /// Creates the file in the file system of `dir`, mode 0600 and the owner set. `temporary` is the name in `dir`
  /// that is used without O_TMPFILE. Throws std::bad_alloc.
  [[nodiscard]] Outcome create(int dir, const char* temporary, const Owner& owner);

  /// Appends.
  [[nodiscard]] Outcome write(std::span<const std::uint8_t> data) noexcept;
  [[nodiscard]] Outcome writeAt(std::span<const std::uint8_t> data, std::uint64_t offset) noexcept;

  /// Gives the file the name `name` in `toDir` as well; the errno of the link (EEXIST, EMLINK …).
  [[nodiscard]] int link(int toDir, const char* name) const noexcept;

  /// Puts the file in place of `name` in its own directory, whatever is there.
  [[nodiscard]] Outcome replace(const char* name);

  /// Drops the temporary name and the descriptor.
  void discard() noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  [[nodiscard]] int syncWhereNeeded() const noexcept;

  sys::Fd fd_;
  int dir_ = -1;
  std::string temporary_;
  bool named_ = false;  ///< the temporary name exists
};

/// Sets owner (when `owner.set`) and mode 0600 of an open message file where they differ.
[[nodiscard]] Outcome claim(int fd, const struct stat& st, const Owner& owner) noexcept;

}  // namespace mailhaul::engine
