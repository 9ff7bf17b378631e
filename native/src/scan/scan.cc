#include "scan/scan.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <string_view>

#include "engine/jobs.h"
#include "scan/dirents.h"
#include "sys/calls.h"
#include "sys/pace.h"

namespace mailhaul::scan {
namespace {

std::string_view nameOf(const Listing& listing, const Entry& entry) noexcept {
  return {listing.name(entry), entry.nameBytes};
}

bool byInode(const Listing& listing, const Entry& a, const Entry& b) noexcept {
  return a.inode != b.inode ? a.inode < b.inode : nameOf(listing, a) < nameOf(listing, b);
}

void add(Listing& out, const Dirent& entry, bool withHidden) {
  if (entry.name[0] == '.' && !withHidden) return;
  out.entries.push_back({entry.inode, out.names.size(), static_cast<std::uint32_t>(entry.name.size()), entry.type});
  out.names.append(entry.name.data(), entry.name.size() + 1);
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

/// Stats what was listed.
void look(int fd, std::uint32_t job, Scan& out) {
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
}

}  // namespace

int list(int fd, bool withHidden, Listing& out) {
  sys::Fd own;
  if (const int error = sys::openDirectory(fd, ".", own); error != 0) return error;
  return eachDirent(own.get(), [&](const Dirent& entry) { add(out, entry, withHidden); });
}

int scan(int fd, std::uint32_t job, Scan& out) {
  if (const int error = list(fd, false, out.listing); error != 0) return error;
  look(fd, job, out);
  return 0;
}

int scanOwn(int fd, Scan& out) {
  const int error = eachDirent(fd, [&](const Dirent& entry) { add(out.listing, entry, false); });
  if (error == 0) look(fd, 0, out);
  return error;
}

}  // namespace mailhaul::scan
