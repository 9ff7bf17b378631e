#include "plan/plain.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "sys/calls.h"

namespace mailhaul::plan {
namespace {

constexpr std::size_t kReadBytes = std::size_t{256} << 10;
static_assert(kLineBytes < kReadBytes);

/// Takes line after line into the plan.
class Planner {
 public:
  Planner(const ScanColumns& scan, const Rules& rules, const NameKey& key)
      : scan_(scan), rules_(rules), names_(scan.names, scan.nameOffsets, key), taken_(scan.sizes.size()) {
    const std::size_t most = scan.sizes.size();
    out_.files.reserve(most);
    out_.uids.reserve(most);
    out_.dates.reserve(most);
    out_.flags.reserve(most);
    out_.keywordOffsets.reserve(most + 1);
    out_.keywordOffsets.push_back(0);
  }

  [[nodiscard]] bool take(std::string_view text) {
    if (text.size() > kLineBytes || out_.files.size() == kMessages) return false;
    if (!hasHeader_) return hasHeader_ = parseHeader(text, out_.header);
    Line line;
    if (!parseLine(text, line) || (!out_.uids.empty() && line.uid <= out_.uids.back())) return false;
    // With no uid left the messages are numbered anew.
    if (line.uid == UINT32_MAX) return false;
    const std::uint32_t file = names_.find(line.name);
    // An empty message has a warning (plan.ts).
    if (file == Names::kNone || taken_[file] || line.size == 0 || line.size != scan_.sizes[file] || !isOurs(file)) {
      return false;
    }
    if (!line.keywords.empty() && !keywords_.add(line.keywords, out_.keywordRefs)) return false;
    taken_[file] = true;
    out_.files.push_back(file);
    out_.uids.push_back(line.uid);
    out_.dates.push_back(line.date);
    out_.flags.push_back(line.flags);
    out_.keywordOffsets.push_back(static_cast<std::uint32_t>(out_.keywordRefs.size()));
    out_.nameBytes += line.name.size();
    return true;
  }

  /// After the last line. Nothing: a file is left that is no sub-folder.
  [[nodiscard]] std::optional<Plain> finish() {
    if (!hasHeader_) return std::nullopt;
    for (std::size_t file = 0; file < taken_.size(); ++file) {
      if (!taken_[file] && !S_ISDIR(scan_.modes[file])) return std::nullopt;
    }
    out_.uidnext = std::max(out_.header.uidnext, out_.uids.empty() ? 1 : out_.uids.back() + 1);
    out_.keywords = keywords_.table();
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool isOurs(std::uint32_t file) const noexcept {
    const std::uint32_t mode = scan_.modes[file];
    if (!S_ISREG(mode)) return false;
    return rules_.takeForeign || (scan_.uids[file] == rules_.ownerUid && (mode & S_IWOTH) == 0);
  }

  const ScanColumns& scan_;
  const Rules& rules_;
  Names names_;
  Keywords keywords_;
  std::vector<bool> taken_;
  bool hasHeader_ = false;
  Plain out_;
};

}  // namespace

std::optional<Plain> planPlain(int indexFd, const ScanColumns& scan, const Rules& rules, const NameKey& key) {
  // One a thread, never cleared: of a tiny folder it is nearly all that would be paid for.
  static thread_local std::unique_ptr<std::uint8_t[]> buffer;
  if (buffer == nullptr) buffer = std::make_unique_for_overwrite<std::uint8_t[]>(kReadBytes);
  Planner planner(scan, rules, key);
  std::size_t filled = 0;
  std::uint64_t total = 0;
  for (;;) {
    std::size_t got = 0;
    if (sys::readFull(indexFd, {buffer.get() + filled, kReadBytes - filled}, got) != 0) return std::nullopt;
    total += got;
    if (total > kFileBytes) return std::nullopt;
    const bool ended = got < kReadBytes - filled;
    std::string_view rest(reinterpret_cast<const char*>(buffer.get()), filled + got);
    for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      if (!planner.take(rest.substr(0, end))) return std::nullopt;
      rest.remove_prefix(end + 1);
    }
    // A last line without an end may have been cut; one that fills the buffer is too long.
    if (ended) return rest.empty() ? planner.finish() : std::nullopt;
    if (rest.size() > kLineBytes) return std::nullopt;
    std::memmove(buffer.get(), rest.data(), rest.size());
    filled = rest.size();
  }
}

}  // namespace mailhaul::plan
