// Reads of many files by one call, where the system has io_uring.
#include "sys/readring.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "support.h"
#include "sys/fd.h"
#include "test.h"

using mailhaul::sys::Fd;
using mailhaul::sys::ReadRing;

namespace {

struct Files {
  std::filesystem::path root = "/tmp/readring_" + std::to_string(::getpid());
  Files() { std::filesystem::create_directory(root); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  ~Files() { std::filesystem::remove_all(root); }

  [[nodiscard]] Fd open(const std::string& name, const std::string& content) const {
    mailhaul::test::writeFile(root / name, content);
    return Fd(::open((root / name).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
};

bool opens(ReadRing& ring) {
  const int error = ring.open();
  if (error != 0) std::cerr << "no io_uring here (errno " << error << "): not tested\n";
  return error == 0;
}

std::map<std::uint32_t, std::int32_t> resultsOf(ReadRing& ring, std::size_t count) {
  std::map<std::uint32_t, std::int32_t> results;
  while (results.size() < count) {
    std::uint32_t token = 0;
    std::int32_t result = 0;
    if (ring.take(token, result)) {
      CHECK(results.emplace(token, result).second);
    } else if (ring.wait() != 0) {
      CHECK(!"wait");
      break;
    }
  }
  return results;
}

}  // namespace

TEST(RingReadsFilesFromTheirBeginning) {
  ReadRing ring;
  if (!opens(ring)) return;
  const Files files;
  std::array<std::uint8_t, 64> memory{};
  std::vector<Fd> fds;
  fds.push_back(files.open("a", "first"));
  fds.push_back(files.open("b", ""));
  fds.push_back(files.open("c", "longer than what it is read into"));
  // Its own position does not matter, and stays.
  CHECK_EQ(::lseek(fds[0].get(), 3, SEEK_SET), 3);
  ring.queue(fds[0].get(), std::span(memory).subspan(0, 6), 7);
  ring.queue(fds[1].get(), std::span(memory).subspan(6, 6), 8);
  ring.queue(fds[2].get(), std::span(memory).subspan(12, 6), 9);
  ring.submit();
  const std::map<std::uint32_t, std::int32_t> expected{{7, 5}, {8, 0}, {9, 6}};
  CHECK(resultsOf(ring, 3) == expected);
  CHECK(std::ranges::equal(std::span(memory).subspan(0, 5), std::string_view("first")));
  CHECK(std::ranges::equal(std::span(memory).subspan(12, 6), std::string_view("longer")));
  CHECK_EQ(memory[5], 0);
  CHECK_EQ(::lseek(fds[0].get(), 0, SEEK_CUR), 3);
  CHECK_EQ(ring.underWay(), 0U);
}

TEST(RingTellsOfEachReadThatFailed) {
  ReadRing ring;
  if (!opens(ring)) return;
  const Files files;
  std::array<std::uint8_t, 64> memory{};
  const Fd file = files.open("a", "text");
  const Fd directory(::open(files.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ring.queue(-1, std::span(memory).first(8), 0);
  ring.queue(directory.get(), std::span(memory).first(8), 1);
  ring.queue(file.get(), std::span(memory).first(8), 2);
  ring.submit();
  const std::map<std::uint32_t, std::int32_t> expected{{0, -EBADF}, {1, -EISDIR}, {2, 4}};
  CHECK(resultsOf(ring, 3) == expected);
}

TEST(RingIsUsedAgainAndAgain) {
  ReadRing ring;
  if (!opens(ring)) return;
  const Files files;
  const Fd file = files.open("a", "text");
  std::vector<std::uint8_t> memory(ReadRing::kMost * 8);
  for (int round = 0; round < 20; ++round) {
    std::fill(memory.begin(), memory.end(), std::uint8_t{0});
    for (std::uint32_t i = 0; i < ReadRing::kMost; ++i) ring.queue(file.get(), std::span(memory).subspan(i * 8, 8), i);
    ring.submit();
    const auto results = resultsOf(ring, ReadRing::kMost);
    CHECK(std::ranges::all_of(results, [](const auto& result) { return result.second == 4; }));
    CHECK_EQ(std::ranges::count(memory, 't'), std::ptrdiff_t{2 * ReadRing::kMost});
  }
}

TEST(RingThatIsClosedHasFinishedItsReads) {
  const Files files;
  const Fd file = files.open("a", std::string(100'000, 'x'));
  std::vector<std::uint8_t> memory(ReadRing::kMost * 1000);
  ReadRing ring;
  if (!opens(ring)) return;
  for (std::uint32_t i = 0; i < ReadRing::kMost; ++i) {
    ring.queue(file.get(), std::span(memory).subspan(i * 1000, 1000), i);
  }
  ring.submit();
  ring.close();
  CHECK(!ring.isOpen());
  CHECK_EQ(ring.underWay(), 0U);
  CHECK_EQ(std::ranges::count(memory, 'x'), std::ptrdiff_t{ReadRing::kMost * 1000});
}
