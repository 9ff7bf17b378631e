// Users and groups of the machine by name, through NSS: files, LDAP, NIS, whatever it is configured to ask. What
// getent(1) would be started for, without a process. All return 0 or a positive errno; what does not exist is no
// error. Nothing here has an effect on disk.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace mailhaul::sys {

/// The user with exactly this name; a number is a name like any other.
[[nodiscard]] int findUser(const std::string& name, std::optional<uid_t>& out);
[[nodiscard]] int findGroup(const std::string& name, std::optional<gid_t>& out);
/// All groups that list `user` as a member, with `first` before them and not among them.
[[nodiscard]] int groupsOf(const std::string& user, gid_t first, std::vector<gid_t>& out);

}  // namespace mailhaul::sys
