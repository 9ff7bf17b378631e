// Which messages are timed, and what the times that are told add up to.
#include "engine/sampledclock.h"

#include <array>
#include <chrono>
#include <string>

#include "engine/migrate.h"
#include "engine/readahead.h"
#include "engine/scratch.h"
#include "support.h"
#include "test.h"

using mailhaul::engine::AheadMemory;
using mailhaul::engine::SampledClock;
using mailhaul::engine::Scratch;
using mailhaul::test::TestFolder;

namespace {

/// Until the clock has gone on by at least so much.
void spin(std::chrono::nanoseconds least) {
  const auto until = std::chrono::steady_clock::now() + least;
  while (std::chrono::steady_clock::now() < until) {
  }
}

bool isTimed(std::uint32_t& messages) {
  SampledClock clock(messages);
  spin(std::chrono::nanoseconds(1));
  std::uint64_t passed = 0;
  clock.lap(passed);
  return passed > 0;
}

}  // namespace

TEST(EveryPlaceOfABatchIsTimedOnce) {
  std::array<int, AheadMemory::kBatch> timed{};
  std::uint32_t messages = 0;
  for (std::uint32_t i = 0; i < SampledClock::kEvery * timed.size(); ++i) timed[i % timed.size()] += isTimed(messages);
  for (const int times : timed) CHECK_EQ(times, 1);
}

TEST(LapsOfATimedMessageAddUpToItsTime) {
  std::uint32_t messages = 0;
  std::uint64_t read = 0, parse = 0, place = 0;
  const auto began = std::chrono::steady_clock::now();
  SampledClock clock(messages);
  spin(std::chrono::microseconds(300));
  clock.lap(read);
  spin(std::chrono::microseconds(200));
  clock.lap(parse);
  spin(std::chrono::microseconds(100));
  clock.lap(place);
  const std::chrono::nanoseconds passed = std::chrono::steady_clock::now() - began;
  // It stands for the sixteen behind it.
  CHECK(read >= SampledClock::kEvery * 300'000);
  CHECK(parse >= SampledClock::kEvery * 200'000);
  CHECK(place >= SampledClock::kEvery * 100'000);
  CHECK(read + parse + place <= SampledClock::kEvery * static_cast<std::uint64_t>(passed.count()));
}

TEST(MessagesAreTimedThroughAllFoldersOfAThread) {
  Scratch scratch;
  const auto timeOf = [&] {
    TestFolder folder;
    for (std::uint32_t uid = 1; uid <= 10; ++uid)
      folder.add(uid, "m" + std::to_string(uid), "Subject: x\r\n\r\ntext\r\n");
    const auto times = mailhaul::engine::migrate(folder.input(), scratch).times;
    return times.read + times.parse + times.place;
  };
  // The 1st, 18th, 35th, 52nd message.
  CHECK(timeOf() > 0);
  CHECK(timeOf() > 0);
  CHECK_EQ(timeOf(), 0U);
  CHECK(timeOf() > 0);
  CHECK_EQ(timeOf(), 0U);
  CHECK(timeOf() > 0);
  CHECK_EQ(scratch.messages, 60U);
}
