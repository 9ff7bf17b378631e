#include "scan/scan.h"

#include <dirent.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "engine/jobs.h"
#include "sys/calls.h"
#include "sys/pace.h"

namespace mailhaul::scan {
namespace {

// Measured best for getdents64 (design.md, "Speed").
constexpr std::size_t kReadBytes = std::size_t{256} << 10;

// struct linux_dirent64: ino u64, off i64, reclen u16, type u8, name.
constexpr std::size_t kLengthAt = 16;
constexpr std::size_t kTypeAt = 18;
constexpr std::size_t kNameAt = 19;

template <typename T>
T load(const std::uint8_t* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::string_view nameOf(const Listing& listing, const Entry& entry) noexcept {
  return {listing.name(entry), entry.nameBytes};
}

bool byInode(const Listing& listing, const Entry& a, const Entry& b) noexcept {
  return a.inode != b.inode ? a.inode < b.inode : nameOf(listing, a) < nameOf(listing, b);
}

void add(Listing& out, const std::uint8_t* record, bool withHidden) {
  const char* name = reinterpret_cast<const char*>(record + kNameAt);
  const std::size_t bytes = std::strlen(name);
  const bool self = std::string_view(name, bytes) == "." || std::string_view(name, bytes) == "..";
  if (self || (name[0] == '.' && !withHidden)) return;
  out.entries.push_back(
      {load<std::uint64_t>(record), out.names.size(), static_cast<std::uint32_t>(bytes), record[kTypeAt]});
  out.names.append(name, bytes + 1);
}

void stat(int fd, const Listing& listing, Row& row) {
  sys::countOperation();
  sys::settle();
  struct stat st {};
  row.error = sys::statAt(fd, listing.name(row.entry), st);
  row.entry.inode = 0;
  if (row.error != 0) return;
  row.entry.inode = st.st_ino;  // d_ino differs on mount points and on some overlays
  row.size = static_cast<double>(st.st_size);
  row.mtime = sys::modifiedNs(st);
  row.mode = st.st_mode;
  row.uid = st.st_uid;
  row.nlink = static_cast<std::uint32_t>(std::min<nlink_t>(st.st_nlink, UINT32_MAX));
}

/// Stats the rows of a directory, so many at a time.
class StatJob final : public engine::Job {
 public:
  StatJob(int fd, Scan& scan) noexcept : fd_(fd), scan_(scan) {}

  [[nodiscard]] engine::Piece help(engine::Scratch&) noexcept override { return {work(kHelpRows), 0, 0}; }

  /// Takes rows, `most` of them or so; false when none was left.
  bool work(std::size_t most) noexcept {
    const std::size_t count = scan_.rows.size();
    std::size_t done = 0;
    while (done < most) {
      const std::size_t first = next_.fetch_add(kRows);
      if (first >= count) break;
      done += kRows;
      for (std::size_t i = first; i < std::min(first + kRows, count); ++i) stat(fd_, scan_.listing, scan_.rows[i]);
    }
    return done > 0;
  }

 private:
  static constexpr std::size_t kRows = 1024;
  static constexpr std::size_t kHelpRows = 16 * kRows;
  int fd_;
  Scan& scan_;  ///< a row belongs to the thread that took it
  std::atomic<std::size_t> next_{0};
};

}  // namespace

int list(int fd, bool withHidden, Listing& out) {
  sys::Fd own;
  if (const int error = sys::openDirectory(fd, ".", own); error != 0) return error;
  // One a thread, never cleared: of a tiny directory it is nearly all that would be paid for.
  static thread_local std::unique_ptr<std::uint8_t[]> buffer;
  if (buffer == nullptr) buffer = std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes);
  for (;;) {
    std::size_t got = 0;
    if (const int error = sys::readDirectory(own.get(), {buffer.get(), kReadBytes}, got); error != 0) return error;
    if (got == 0) return 0;
    for (std::size_t at = 0; at < got; at += load<std::uint16_t>(buffer.get() + at + kLengthAt)) {
      add(out, buffer.get() + at, withHidden);
    }
  }
}

int scan(int fd, std::uint32_t job, Scan& out) {
  if (const int error = list(fd, false, out.listing); error != 0) return error;
  std::vector<Entry>& entries = out.listing.entries;
  const auto order = [&](const Entry& a, const Entry& b) { return byInode(out.listing, a, b); };
  std::sort(entries.begin(), entries.end(), order);
  out.rows.resize(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) out.rows[i].entry = entries[i];
  StatJob stats(fd, out);
  {
    const engine::Jobs::Opened open(job, stats);
    static_cast<void>(stats.work(out.rows.size()));
  }
  const auto rowOrder = [&](const Row& a, const Row& b) { return order(a.entry, b.entry); };
  if (!std::is_sorted(out.rows.begin(), out.rows.end(), rowOrder)) {
    std::sort(out.rows.begin(), out.rows.end(), rowOrder);
  }
  return 0;
}

}  // namespace mailhaul::scan
