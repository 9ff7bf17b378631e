#include "sys/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cstddef>

namespace mailhaul::sys {
namespace {

// Most entries fit into the first. A group with a hundred thousand members needs a few megabytes; where even the limit
// does not do, the database is broken.
constexpr std::size_t kFirstBytes = 1024;
constexpr std::size_t kMostBytes = std::size_t{64} << 20;

// Linux lets a process be in as many (NGROUPS_MAX).
constexpr std::size_t kFirstGroups = 32;
constexpr std::size_t kMostGroups = 65536;

/// One of the get…nam_r functions, with memory that grows until the entry fits. `found` is null when there is none.
template <typename Entry, typename Lookup>
int find(Lookup lookup, const std::string& name, Entry& entry, std::vector<char>& memory, Entry*& found) {
  memory.resize(kFirstBytes);
  for (;;) {
    found = nullptr;
    const int error = lookup(name.c_str(), &entry, memory.data(), memory.size(), &found);
    if (error == EINTR) continue;
    if (error == ERANGE && memory.size() < kMostBytes) {
      memory.resize(memory.size() * 4);
      continue;
    }
    // "No such entry" in the words of a database that is not there at all, such as a missing file.
    return error == ENOENT || error == ESRCH ? 0 : error;
  }
}

}  // namespace

int findUser(const std::string& name, std::optional<uid_t>& out) {
  std::vector<char> memory;
  passwd entry{};
  passwd* found = nullptr;
  out.reset();
  if (const int error = find(::getpwnam_r, name, entry, memory, found); error != 0) return error;
  // Some databases do not tell upper from lower case, and C ends a name at its first zero.
  if (found != nullptr && name == found->pw_name) out = found->pw_uid;
  return 0;
}

int findGroup(const std::string& name, std::optional<gid_t>& out) {
  std::vector<char> memory;
  group entry{};
  group* found = nullptr;
  out.reset();
  if (const int error = find(::getgrnam_r, name, entry, memory, found); error != 0) return error;
  if (found != nullptr && name == found->gr_name) out = found->gr_gid;
  return 0;
}

int groupsOf(const std::string& user, gid_t first, std::vector<gid_t>& out) {
  out.resize(kFirstGroups);
  for (;;) {
    int count = static_cast<int>(out.size());
    if (::getgrouplist(user.c_str(), first, out.data(), &count) >= 0) {
      out.resize(static_cast<std::size_t>(count));
      break;
    }
    // It tells how many there are when they do not fit; it fails without that when memory ran out.
    if (static_cast<std::size_t>(count) <= out.size() || out.size() >= kMostGroups) return ENOMEM;
    out.resize(std::min(static_cast<std::size_t>(count), kMostGroups));
  }
  // Once, in front: POSIX does not say so.
  out.erase(std::remove(out.begin(), out.end(), first), out.end());
  out.insert(out.begin(), first);
  return 0;
}

}  // namespace mailhaul::sys
