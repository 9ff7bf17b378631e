// Linking a descriptor with and without the privilege to do so by AT_EMPTY_PATH.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "support.h"
#include "sys/calls.h"
#include "test.h"

using mailhaul::sys::Fd;
using mailhaul::test::resultOfChild;
using mailhaul::test::TestFolder;

namespace {

constexpr uid_t kOrdinary = 65534;

/// Runs `body` in a child process as an ordinary account; its result.
template <typename Body>
int asOrdinaryAccount(Body&& body) {
  return resultOfChild([&] {
    const bool ready = ::setgroups(0, nullptr) == 0 && ::setgid(kOrdinary) == 0 && ::setuid(kOrdinary) == 0;
    return ready ? body() : 255;
  });
}

}  // namespace

TEST(AFileThatIsOpenIsLinkedAlsoWhenItsNameIsGone) {
  TestFolder folder;
  folder.add(1, "m", "content");
  Fd fd;
  CHECK_EQ(mailhaul::sys::openRead(folder.input().sourceFd, "m", fd), 0);
  std::filesystem::rename(folder.source / "m", folder.source / "elsewhere");
  mailhaul::test::writeFile(folder.source / "m", "another");
  CHECK_EQ(mailhaul::sys::linkFd(fd.get(), folder.input().targetFd, "1.msg"), 0);
  CHECK_EQ(mailhaul::test::readFile(folder.targetDirectory / "1.msg"), "content");
  CHECK_EQ(mailhaul::sys::linkFd(fd.get(), folder.input().targetFd, "1.msg"), EEXIST);
}

// A descriptor that was opened by root: AT_EMPTY_PATH is refused on every kernel, /proc/self/fd has to do.
TEST(TheServerAccountLinksThroughProc) {
  if (::geteuid() != 0) return;
  TestFolder folder;
  folder.add(1, "m", "content");
  for (const auto& path : {folder.source / "m", folder.targetDirectory}) {
    CHECK_EQ(::chown(path.c_str(), kOrdinary, kOrdinary), 0);
  }
  Fd fd;
  CHECK_EQ(mailhaul::sys::openRead(folder.input().sourceFd, "m", fd), 0);
  const int target = folder.input().targetFd;
  CHECK_EQ(asOrdinaryAccount([&] { return ::linkat(fd.get(), "", target, "1.msg", AT_EMPTY_PATH) == 0 ? 0 : errno; }),
           ENOENT);
  CHECK_EQ(asOrdinaryAccount([&] { return mailhaul::sys::linkFd(fd.get(), target, "1.msg"); }), 0);
  CHECK_EQ(mailhaul::test::readFile(folder.targetDirectory / "1.msg"), "content");
}

TEST(NoSymbolicLinkIsOpened) {
  TestFolder folder;
  mailhaul::test::writeFile(folder.root / "secret", "x");
  std::filesystem::create_symlink("../secret", folder.source / "link");
  std::filesystem::create_symlink("..", folder.source / "directory");
  Fd fd;
  CHECK_EQ(mailhaul::sys::openRead(folder.input().sourceFd, "link", fd), ELOOP);
  CHECK(mailhaul::sys::openDirectory(folder.input().sourceFd, "directory", fd) != 0);
  CHECK(mailhaul::sys::openRead(folder.input().sourceFd, "../secret", fd) != 0);
  CHECK(!fd.isOpen());
}
