#include <sys/types.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "sys/account.h"
#include "test.h"

using mailhaul::sys::findGroup;
using mailhaul::sys::findUser;
using mailhaul::sys::groupsOf;

TEST(UsersAndGroupsAreFoundByName) {
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  CHECK_EQ(findUser("root", uid), 0);
  CHECK(uid == uid_t{0});
  CHECK_EQ(findGroup("root", gid), 0);
  CHECK(gid == gid_t{0});
}

TEST(WhatIsNoNameOfAnAccountIsNotThereAndNoError) {
  using namespace std::string_literals;
  for (const std::string& name : {"no-such-account"s, "0"s, ""s, "ROOT"s, "root\0x"s, std::string(70000, 'x')}) {
    std::optional<uid_t> uid = 7;
    std::optional<gid_t> gid = 7;
    CHECK_EQ(findUser(name, uid), 0);
    CHECK(!uid.has_value());
    CHECK_EQ(findGroup(name, gid), 0);
    CHECK(!gid.has_value());
  }
}

TEST(TheFirstGroupIsInFrontAndOnce) {
  for (const gid_t first : {gid_t{0}, gid_t{4711}}) {
    std::vector<gid_t> groups;
    CHECK_EQ(groupsOf("root", first, groups), 0);
    CHECK(!groups.empty() && groups.front() == first);
    CHECK_EQ(std::count(groups.begin(), groups.end(), first), 1);
  }
}
