#include "scan/scan.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <set>
#include <string>

#include "support.h"
#include "sys/fd.h"
#include "test.h"

using mailhaul::scan::Listing;
using mailhaul::scan::Row;
using mailhaul::scan::Scan;
using mailhaul::test::TestFolder;

TEST(ScanFindsEveryNameOnceInInodeOrder) {
  TestFolder folder;
  std::set<std::string> expected;
  for (int i = 0; i < 5000; ++i) {
    const std::string name = std::to_string(i) + std::string(static_cast<std::size_t>(i % 240), 'x');
    mailhaul::test::writeFile(folder.source / name, "x");
    expected.insert(name);
  }
  mailhaul::test::writeFile(folder.source / ".mailbox", "x");
  Scan scan;
  CHECK_EQ(mailhaul::scan::scan(folder.input().sourceFd, 0, scan), 0);
  std::set<std::string> found;
  for (const Row& row : scan.rows) found.insert(scan.listing.name(row.entry));
  CHECK(found == expected && scan.rows.size() == expected.size());
  CHECK(std::is_sorted(scan.rows.begin(), scan.rows.end(),
                       [](const Row& a, const Row& b) { return a.entry.inode < b.entry.inode; }));
}

TEST(ListGivesHiddenNamesWhenAsked) {
  TestFolder folder;
  mailhaul::test::writeFile(folder.source / ".new-1", "x");
  Listing listing;
  CHECK_EQ(mailhaul::scan::list(folder.input().sourceFd, true, listing), 0);
  CHECK(listing.entries.size() == 1 && std::string(listing.name(listing.entries[0])) == ".new-1");
}

TEST(ScanOfAFileFails) {
  TestFolder folder;
  mailhaul::test::writeFile(folder.source / "m", "x");
  const mailhaul::sys::Fd fd(::open((folder.source / "m").c_str(), O_RDONLY | O_CLOEXEC));
  Scan scan;
  CHECK_EQ(mailhaul::scan::scan(fd.get(), 0, scan), ENOTDIR);
}
