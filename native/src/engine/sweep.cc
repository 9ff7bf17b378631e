#include "engine/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/target.h"
#include "scan/scan.h"
#include "sys/calls.h"

namespace mailhaul::engine {
namespace {

constexpr std::string_view kTemporary = ".new-";
constexpr std::string_view kSuffix = ".msg";

enum class Claim { claimed, failed, unknown };

/// The uid in a canonical `<uid>.msg`.
std::optional<std::uint32_t> uidOf(std::string_view name) noexcept {
  const std::string_view digits = name.substr(0, name.size() - kSuffix.size());
  std::uint32_t uid = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), uid);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return std::string_view(messageFileName(uid).data()) == name ? std::optional(uid) : std::nullopt;
}

Claim claimOn(std::string_view directory, std::string_view name, const MessageTable& messages,
              std::span<const MessageError> errors) noexcept {
  const std::optional<std::uint32_t> uid = uidOf(name);
  if (!uid || std::string_view(hashDirectoryName(*uid).data()) != directory) return Claim::unknown;
  const auto found = std::lower_bound(messages.uids.begin(), messages.uids.end(), *uid);
  if (found == messages.uids.end() || *found != *uid) return Claim::unknown;
  const auto i = static_cast<std::size_t>(found - messages.uids.begin());
  return errors[i] == MessageError::none ? Claim::claimed : Claim::failed;
}

Outcome remove(int dir, const char* name) noexcept {
  const int error = sys::unlinkAt(dir, name);
  // A directory under such a name is not ours; it harms nothing.
  if (error == 0 || error == ENOENT || error == EISDIR) return {};
  return targetFailure(error, "unlinkat");
}

bool isLastName(int dir, const char* name) noexcept {
  struct stat st {};
  return sys::statAt(dir, name, st) != 0 || st.st_nlink <= 1;
}

Outcome sweepHashDirectory(const Folder& folder, const char* directory, std::span<const MessageError> errors) {
  sys::Fd fd;
  int error = sys::openDirectory(folder.targetFd, directory, fd);
  // Not a directory: not ours.
  if (error == ENOTDIR || error == ELOOP || error == ENOENT) return {};
  scan::Listing listing;
  if (error == 0) error = scan::list(fd.get(), true, listing);
  if (error != 0) return targetFailure(error, "getdents64");
  for (const scan::Entry& entry : listing.entries) {
    const std::string_view name(listing.name(entry), entry.nameBytes);
    if (!name.starts_with(kTemporary)) {
      if (!name.ends_with(kSuffix)) continue;
      const Claim claim = claimOn(directory, name, folder.messages, errors);
      if (claim == Claim::claimed) continue;
      if (claim == Claim::failed && isLastName(fd.get(), name.data())) continue;
    }
    if (const Outcome removed = remove(fd.get(), name.data()); !removed.ok()) return removed;
  }
  return {};
}

bool isHashDirectory(std::string_view name) noexcept {
  return name.size() >= 2 && name.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Outcome sweep(const Folder& folder, std::span<const MessageError> errors, bool writesIndex) {
  scan::Listing listing;
  if (const int error = scan::list(folder.targetFd, true, listing); error != 0) {
    return targetFailure(error, "getdents64");
  }
  for (const scan::Entry& entry : listing.entries) {
    const std::string_view name(listing.name(entry), entry.nameBytes);
    Outcome step;
    if (name.starts_with(kTemporary) || (name == "store.idx.new" && !writesIndex)) {
      step = remove(folder.targetFd, name.data());
    } else if (isHashDirectory(name)) {
      step = sweepHashDirectory(folder, name.data(), errors);
    }
    if (!step.ok()) return step;
  }
  return {};
}

}  // namespace mailhaul::engine
