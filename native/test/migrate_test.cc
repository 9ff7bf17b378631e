// The engine under sanitizers: every way a call can fail, and no descriptor left open by any of them.
#include "engine/migrate.h"

#include <errno.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "engine/remove.h"
#include "support.h"
#include "test.h"

using mailhaul::engine::Folder;
using mailhaul::engine::MessageError;
using mailhaul::engine::Method;
using mailhaul::engine::Result;
using mailhaul::test::ArmedFault;
using mailhaul::test::FewDescriptors;
using mailhaul::test::migrate;
using mailhaul::test::openDescriptors;
using mailhaul::test::TestFolder;

namespace {

constexpr std::string_view kCrlf = "Subject: one\r\n\r\nText\r\n";
constexpr std::string_view kBareLf = "Subject: one\n\nText\n";

/// A linked message, a rewritten one, and a shared one that is rewritten twice.
void fill(TestFolder& folder) {
  folder.add(99, "linked", kCrlf);
  std::filesystem::permissions(folder.source / "linked", std::filesystem::perms{0640});
  folder.add(198, "rewritten", kBareLf);
  folder.add(297, "shared", std::string(kBareLf) + "more\n");
  folder.addLink(396, "shared again", "shared");
}

/// Lets each call fail once, then repeats the attempt; the end is always that of an undisturbed run.
void failEachCall(std::string_view targetParent, int error) {
  int calls = 0;
  std::map<std::string, std::string> good;
  {
    TestFolder folder("/tmp", targetParent);
    fill(folder);
    const ArmedFault counting(0, 0);
    CHECK(migrate(folder.input()).published);
    calls = counting.calls();
    good = folder.target();
  }
  CHECK(calls > 12);
  const std::ptrdiff_t open = openDescriptors();
  for (int at = 1; at <= calls; ++at) {
    TestFolder folder("/tmp", targetParent);
    fill(folder);
    {
      const ArmedFault fault(at, error);
      const Result result = migrate(folder.input());
      CHECK(result.published ==
            (result.haltCall == nullptr && std::all_of(result.errors.begin(), result.errors.end(),
                                                       [](MessageError e) { return e == MessageError::none; })));
    }
    CHECK(migrate(folder.input(true)).published);
    CHECK(folder.target() == good);
  }
  CHECK_EQ(openDescriptors(), open);
}

}  // namespace

TEST(EveryCallFailsOnceOnTheSameFileSystem) {
  for (const int error : {ENOSPC, EIO, EACCES, EMFILE, EOPNOTSUPP, EXDEV, EMLINK, EEXIST, ENOENT}) {
    failEachCall("/tmp", error);
  }
}

TEST(EveryCallFailsOnceWhenCopying) {
  if (!std::filesystem::exists("/dev/shm")) return;
  for (const int error : {ENOSPC, EACCES, EOPNOTSUPP, EEXIST}) failEachCall("/dev/shm", error);
}

TEST(AnEmptyMessageIsLinked) {
  TestFolder folder;
  folder.add(1, "empty", "");
  const Result result = migrate(folder.input());
  CHECK(result.published && result.methods[0] == Method::link);
  CHECK_EQ(folder.target().at("00/1.msg"), "");
}

TEST(AGiantMessageIsMapped) {
  TestFolder folder;
  folder.add(1, "giant", "Subject: giant\r\n\r\n");
  // Sparse: beyond the size that is read into memory.
  const std::uint64_t size = (std::uint64_t{256} << 20) + 4096;
  std::filesystem::resize_file(folder.source / "giant", size);
  TestFolder again;
  std::filesystem::rename(folder.source / "giant", again.source / "giant");
  again.addLink(1, "giant again", "giant");
  const Result result = migrate(again.input());
  CHECK(result.published && result.methods[0] == Method::link);
  CHECK_EQ(result.summary.bytes, size);
}

TEST(AFileThatShrinksMeanwhileIsChanged) {
  TestFolder folder;
  folder.add(1, "m", kCrlf);
  std::filesystem::resize_file(folder.source / "m", 3);
  const Result result = migrate(folder.input());
  CHECK(!result.published && result.errors[0] == MessageError::changed);
}

TEST(RemovalTakesOnlyWhatIsRecorded) {
  TestFolder folder;
  fill(folder);
  const Folder input = folder.input();
  mailhaul::test::writeFile(folder.source / "linked", "another content");
  const std::vector<std::uint8_t> remove(input.messages.count, 1);
  const auto removal = mailhaul::engine::removeSources(input.sourceFd, input.messages, remove);
  CHECK_EQ(removal.removed, 3U);
  CHECK(removal.kept.size() == 1 && removal.kept[0].index == 0 && removal.kept[0].errorNumber == 0);
  CHECK(std::filesystem::exists(folder.source / "linked"));
}

TEST(AThousandDirectoriesNeedFewDescriptors) {
  TestFolder folder;
  for (std::uint32_t i = 1; i <= 1000; ++i) folder.add(i * 100, "m" + std::to_string(i), kCrlf);
  const Result result = migrate(folder.input());
  CHECK(result.published);
  CHECK_EQ(result.summary.messages, 1000U);
}

TEST(FewDescriptorsAreEnough) {
  TestFolder folder;
  for (std::uint32_t i = 1; i <= 300; ++i) folder.add(i * 100, "m" + std::to_string(i), i % 2 == 0 ? kCrlf : kBareLf);
  const FewDescriptors few(12);
  CHECK(migrate(folder.input()).published);
}
