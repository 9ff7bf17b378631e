// The records of getdents64(2): struct linux_dirent64, ino u64, off i64, reclen u16, type u8, name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "sys/calls.h"

namespace mailhaul::scan {

// Measured best for getdents64 (design.md, "Speed").
inline constexpr std::size_t kReadBytes = std::size_t{256} << 10;

struct Dirent {
  std::uint64_t inode;
  std::uint8_t type;      ///< DT_* hint; DT_UNKNOWN where the file system does not tell
  std::string_view name;  ///< followed by a NUL
};

inline Dirent direntAt(const std::uint8_t* record) noexcept {
  constexpr std::size_t kTypeAt = 18;
  constexpr std::size_t kNameAt = 19;
  Dirent entry{};
  std::memcpy(&entry.inode, record, sizeof entry.inode);
  entry.type = record[kTypeAt];
  entry.name = reinterpret_cast<const char*>(record + kNameAt);
  return entry;
}

/// Calls `each` for what is in the directory open as `fd`, from where the descriptor stands, but for `.` and `..`.
/// Returns 0 or the errno of reading.
template <typename Each>
[[nodiscard]] int eachDirent(int fd, Each&& each) {
  // One a thread, never cleared: of a tiny directory it is nearly all that would be paid for.
  static thread_local const std::unique_ptr<std::uint8_t[]> buffer =
      std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes);
  for (;;) {
    std::size_t got = 0;
    if (const int error = sys::readDirectory(fd, {buffer.get(), kReadBytes}, got); error != 0) return error;
    if (got == 0) return 0;
    constexpr std::size_t kLengthAt = 16;
    std::uint16_t length = 0;
    for (std::size_t at = 0; at < got; at += length) {
      std::memcpy(&length, buffer.get() + at + kLengthAt, sizeof length);
      const Dirent entry = direntAt(buffer.get() + at);
      if (entry.name != "." && entry.name != "..") each(entry);
    }
  }
}

}  // namespace mailhaul::scan
