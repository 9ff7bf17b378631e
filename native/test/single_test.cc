// The registry of shared copies by itself: a copy has further names, in other mailboxes.
#include "engine/single.h"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>

#include "engine/source.h"
#include "support.h"
#include "test.h"

using mailhaul::engine::Buffer;
using mailhaul::engine::MessageError;
using mailhaul::engine::NewFile;
using mailhaul::engine::SingleCopies;
using mailhaul::engine::Source;
using mailhaul::engine::WrittenInodes;
using mailhaul::test::TestFolder;

TEST(ACopyIsNotWrittenAgainFromAMappedFileThatHasChanged) {
  TestFolder folder;
  // So large that it is mapped.
  folder.add(1, "m", std::string((std::size_t{32} << 20) + 1, 'x'));
  const auto input = folder.input();
  Buffer into;
  Buffer compare;
  Source source;
  CHECK(source.open(input.sourceFd, "m", mailhaul::engine::recordOf(input.messages, 0), {input.owner.uid, false}).ok());
  CHECK(source.read(into).ok() && source.isMapped());
  bool there = false;
  const auto placeInNextRun = [&](const char* name) {
    WrittenInodes written;
    SingleCopies copies(input.singleFd, input.owner, compare, written);
    const auto fill = [&](NewFile& file) { return file.write(source.bytes()); };
    return copies.place(source, {}, source.bytes(), fill, input.targetFd, name, there);
  };
  CHECK(placeInNextRun("1.msg").ok() && !there);
  CHECK(placeInNextRun("2.msg").ok() && there);

  const auto copy = std::filesystem::directory_iterator(folder.single)->path();
  const auto longAgo = std::filesystem::last_write_time(copy) - std::chrono::hours(1);
  std::filesystem::last_write_time(copy, longAgo);
  std::filesystem::last_write_time(folder.source / "m", longAgo);
  CHECK(placeInNextRun("3.msg").error == MessageError::changed);
  CHECK(std::filesystem::last_write_time(copy) == longAgo);
}
