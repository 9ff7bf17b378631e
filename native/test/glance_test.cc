#include "scan/glance.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "support.h"
#include "sys/fd.h"
#include "test.h"

using mailhaul::scan::Glance;
using mailhaul::scan::Head;
using mailhaul::scan::Seen;
using mailhaul::test::TestFolder;

namespace {

mailhaul::sys::Fd openDirectory(const std::filesystem::path& path) {
  return mailhaul::sys::Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/// Without root's rights while it lives: root reads no files here.
class Unprivileged {
 public:
  Unprivileged() : root_(::geteuid() == 0) {
    if (root_) CHECK_EQ(::seteuid(65534), 0);
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  ~Unprivileged() {
    if (root_) CHECK_EQ(::seteuid(0), 0);
  }

 private:
  bool root_;
};

}  // namespace

TEST(GlanceListsDirectoriesAndTellsOfStrays) {
  TestFolder folder;
  std::filesystem::create_directory(folder.source / "sub");
  std::filesystem::create_directory(folder.source / ".hidden");
  mailhaul::test::writeFile(folder.source / ".mailbox", "x");
  Glance seen;
  CHECK(mailhaul::scan::glance(openDirectory(folder.root).get(), folder.source.filename().c_str(), seen) == Seen::here);
  CHECK(seen.opened.isOpen() && seen.directories == "sub" && !seen.strays);
  CHECK(seen.files[0] == Seen::here && seen.files[1] == Seen::absent && seen.files[2] == Seen::absent);
  struct stat st {};
  CHECK(::stat(folder.source.c_str(), &st) == 0 && st.st_ino == seen.inode && st.st_dev == seen.device);
  mailhaul::test::writeFile(folder.source / "m", "x");
  Glance again;
  CHECK(mailhaul::scan::glance(seen.opened.get(), nullptr, again) == Seen::here);
  CHECK(!again.opened.isOpen() && again.directories == "sub" && again.strays);
}

TEST(GlanceFollowsNoLinkAndLeavesErrorsToOthers) {
  TestFolder folder;
  std::filesystem::create_directory_symlink(folder.source, folder.root / "link");
  const mailhaul::sys::Fd root = openDirectory(folder.root);
  Glance seen;
  CHECK(mailhaul::scan::glance(root.get(), "link", seen) == Seen::other);
  CHECK(mailhaul::scan::glance(root.get(), "nothing", seen) == Seen::other);
  CHECK(!seen.opened.isOpen());
}

TEST(HeadGivesSizeAndFirstBytes) {
  TestFolder folder;
  mailhaul::test::writeFile(folder.source / ".acl", "fred lrs\n");
  std::filesystem::permissions(folder.root, std::filesystem::perms(0755));
  std::filesystem::permissions(folder.source, std::filesystem::perms(0755));
  std::filesystem::permissions(folder.source / ".acl", std::filesystem::perms(0644));
  const mailhaul::sys::Fd source = openDirectory(folder.source);
  const Unprivileged unprivileged;
  Head found;
  CHECK(mailhaul::scan::head(source.get(), ".acl", false, 4, found) == Seen::here);
  CHECK(found.size == 9 && found.bytes == "fred");
  CHECK(mailhaul::scan::head(source.get(), ".acl", true, 100, found) == Seen::here);
  CHECK(found.bytes == "fred lrs\n");
  CHECK(mailhaul::scan::head(source.get(), ".mailbox", false, 4, found) == Seen::absent);
}

TEST(HeadOpensNothingButRegularFilesAndNoneAsRoot) {
  TestFolder folder;
  mailhaul::test::writeFile(folder.source / "file", "x");
  std::filesystem::create_symlink("file", folder.source / "link");
  CHECK_EQ(::mkfifo((folder.source / "fifo").c_str(), 0666), 0);
  const mailhaul::sys::Fd source = openDirectory(folder.source);
  Head found;
  for (const char* name : {"link", "fifo", "."})
    CHECK(mailhaul::scan::head(source.get(), name, false, 4, found) == Seen::other);
  // Whatever a listing said of it.
  for (const char* name : {"link", "fifo"}) {
    CHECK(mailhaul::scan::head(source.get(), name, true, 4, found) == Seen::other);
  }
  if (::geteuid() == 0) CHECK(mailhaul::scan::head(source.get(), "file", true, 4, found) == Seen::other);
}
