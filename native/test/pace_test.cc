// The limits of a run: what is booked when, with a clock of the test's own; and what ends a wait.
#include "sys/pace.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

#include "engine/migrate.h"
#include "engine/remove.h"
#include "support.h"
#include "test.h"

using mailhaul::sys::dueAfter;
using mailhaul::sys::Pace;
using Armed = mailhaul::test::ArmedPace;
using Memory = mailhaul::test::PaceMemory;
using mailhaul::test::TestFolder;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1'000 * kSecond;

}  // namespace

TEST(PaceBooksBehindWhatIsBooked) { CHECK_EQ(dueAfter(kNow + kSecond, kNow, 500, 1000), kNow + kSecond + kSecond / 2); }

TEST(PaceMakesUpForAShortPauseOnly) {
  CHECK_EQ(dueAfter(kNow - Pace::kBurst / 2, kNow, 1000, 1000), kNow - Pace::kBurst / 2 + kSecond);
  CHECK_EQ(dueAfter(0, kNow, 1000, 1000), kNow - Pace::kBurst + kSecond);
}

TEST(PaceNeverOverflows) {
  const std::int64_t due = dueAfter(INT64_MAX / 2, kNow, UINT64_MAX, 1);
  CHECK_EQ(due, kNow + 1'000'000'000 * kSecond);
  CHECK_EQ(dueAfter(due, kNow, UINT64_MAX, 1), due);
}

TEST(PaceTakesTheLaterOfTwoLimits) {
  Memory memory(1000, 2, kNow);
  Pace pace(memory.slots.data());
  CHECK_EQ(pace.book({1000, 20}, kNow), kNow + 10 * kSecond);
  CHECK_EQ(pace.book({20'000, 1}, kNow), kNow + 21 * kSecond);
  CHECK_EQ(memory.number(5), 21'000);
  CHECK_EQ(memory.number(6), 21);
}

TEST(PaceOfManyThreadsIsOne) {
  constexpr std::int64_t kThreads = 8, kTimes = 5000;
  Memory memory(1000, 0, kNow);
  std::array<std::thread, kThreads> threads;
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      for (std::int64_t i = 0; i < kTimes; ++i) static_cast<void>(Pace(memory.slots.data()).book({1, 0}, kNow));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(memory.number(3), kNow + kThreads * kTimes * kSecond / 1000);
}

TEST(PaceWaitEndsWithTheRun) {
  Memory memory(1, 0);
  std::thread waiting([&] {
    const Armed armed(memory);
    mailhaul::sys::spent.bytes = std::uint64_t{1} << 40;
    mailhaul::sys::settle();
  });
  while (memory.counted() == 0) std::this_thread::yield();
  memory.end();
  waiting.join();
  CHECK(memory.number(7) >= 0);
}

TEST(PaceWaitEndsWithAChangeWhichForgives) {
  Memory memory(1, 0);
  std::thread waiting([&] {
    const Armed armed(memory);
    mailhaul::sys::spent.bytes = 1000;
    mailhaul::sys::settle();
    mailhaul::sys::spent.bytes = 1'000'000;  // before it knew of the change
    mailhaul::sys::settle();
  });
  while (memory.counted() == 0) std::this_thread::yield();
  memory.change();
  waiting.join();
  CHECK_EQ(memory.counted(), 1000);
}

TEST(PaceCountsNothingWithoutALimit) {
  Memory memory(1, 1);
  memory.slots[0] = 0;
  const Armed armed(memory);
  mailhaul::sys::spent = {1000, 1000};
  mailhaul::sys::settle();
  CHECK_EQ(memory.counted(), 0);
  CHECK(!mailhaul::sys::isPaced());
}

TEST(PaceCountsAFolder) {
  TestFolder folder;
  constexpr std::string_view kMessage = "Subject: one\r\n\r\nText\r\n";
  for (std::uint32_t uid = 1; uid <= 20; ++uid) folder.add(uid, "m" + std::to_string(uid), kMessage);
  Memory memory(std::int64_t{1} << 40, std::int64_t{1} << 40);
  const Armed armed(memory);
  mailhaul::engine::Scratch scratch;
  const mailhaul::engine::Folder input = folder.input();
  CHECK(mailhaul::engine::migrate(input, scratch).published);
  const std::int64_t bytes = memory.number(5), operations = memory.number(6);
  CHECK(bytes >= static_cast<std::int64_t>(20 * kMessage.size()));
  // Open and link of each, and the hash directory.
  CHECK(operations >= 40 && operations < 50);
  const std::array<std::uint8_t, 20> all = [] {
    std::array<std::uint8_t, 20> ones{};
    ones.fill(1);
    return ones;
  }();
  CHECK_EQ(mailhaul::engine::removeSources(input.sourceFd, input.messages, all).removed, 20U);
  CHECK(memory.number(6) >= operations + 19);
}

TEST(PaceWritesALargeMessageInPieces) {
  TestFolder folder;
  folder.add(1, "large", "Subject: bare LF\n\n" + std::string(3 << 20, 'x') + "\n");
  Memory memory(std::int64_t{1} << 40, 0);
  const Armed armed(memory);
  const mailhaul::test::ArmedFault counting(0, 0);
  mailhaul::engine::Scratch scratch;
  CHECK(mailhaul::engine::migrate(folder.input(), scratch).published);
  CHECK(counting.calls() > static_cast<int>((3 << 20) / mailhaul::sys::kPacedPiece));
  const auto files = folder.target();
  const auto isWhole = [](const auto& file) { return file.second.ends_with(std::string(3 << 20, 'x') + "\r\n"); };
  CHECK_EQ(std::count_if(files.begin(), files.end(), isWhole), 1);
}
