#include <string>
#include <string_view>

#include "engine/source.h"
#include "engine/target.h"
#include "test.h"

using mailhaul::engine::fileName;
using mailhaul::engine::hashDirectoryName;
using mailhaul::engine::messageFileName;
using mailhaul::engine::NameBuffer;

TEST(HashDirectoriesAreAFunctionOfTheUid) {
  CHECK_EQ(std::string(hashDirectoryName(1).data()), "00");
  CHECK_EQ(std::string(hashDirectoryName(99).data()), "00");
  CHECK_EQ(std::string(hashDirectoryName(4711).data()), "47");
  CHECK_EQ(std::string(hashDirectoryName(4294967295U).data()), "42949672");
  CHECK_EQ(std::string(messageFileName(4294967295U).data()), "4294967295.msg");
}

TEST(NamesThatAreNoFileOfTheFolderAreRefused) {
  NameBuffer buffer;
  using namespace std::string_view_literals;
  for (const std::string_view bad : {""sv, "."sv, ".."sv, ".mailbox"sv, "a/b"sv, "/"sv, "a\0b"sv, "\0"sv}) {
    CHECK(fileName(bad, buffer) == nullptr);
  }
  CHECK(fileName(std::string(256, 'x'), buffer) == nullptr);
  const std::string longest(255, 'x');
  CHECK(fileName(longest, buffer) == longest);
  CHECK(fileName("\xff\n ", buffer) == "\xff\n "sv);
}
