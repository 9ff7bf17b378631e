// Hash directories that are kept open: fewer where few files may be open, and each is found again.
#include "engine/target.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>

#include "support.h"
#include "test.h"

using mailhaul::engine::HashDirectories;
using mailhaul::test::FewDescriptors;
using mailhaul::test::openDescriptors;
using mailhaul::test::TestFolder;

TEST(AThreadHasAShareOfTheFilesForItsHashDirectories) {
  struct Row {
    std::size_t files;
    std::size_t directories;
  };
  constexpr Row rows[] = {
#include "held_directories.inc"
  };
  for (const Row& row : rows) CHECK_EQ(HashDirectories::mostOpen(row.files), row.directories);
}

TEST(FewHashDirectoriesStayOpenWhereFewFilesMayBe) {
  TestFolder mailbox;
  const auto input = mailbox.input();
  HashDirectories directories(input.targetFd, input.owner, true);
  const std::ptrdiff_t before = openDescriptors();
  {
    const FewDescriptors few(100);
    // More than there are places for, twice, so that places are taken again.
    for (std::uint32_t i = 0; i < 400; ++i) {
      int fd = -1;
      CHECK(directories.open(i % 200 * 100, fd).ok());
      CHECK(openDescriptors() - before <= 8);
    }
  }
  CHECK(directories.closeAll());
  CHECK_EQ(openDescriptors(), before);
  CHECK_EQ(std::distance(std::filesystem::directory_iterator(mailbox.targetDirectory), {}), 200);
}
