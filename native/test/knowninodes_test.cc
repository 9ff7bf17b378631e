#include "engine/knowninodes.h"

#include <string>
#include <thread>
#include <vector>

#include "test.h"

using mailhaul::engine::KnownInodes;

namespace {

KnownInodes::Entry entryOf(std::uint64_t i, std::size_t bytes = 10) {
  return {{.size = i, .headerBytes = i, .digest = {}, .rewritten = false}, std::vector<std::uint8_t>(bytes)};
}

}  // namespace

TEST(AnInodeIsKnownByAllOfItsKey) {
  KnownInodes known;
  known.remember({1, 2, 3, 4}, entryOf(7));
  CHECK(known.find({1, 2, 3, 4})->facts.size == 7);
  for (const KnownInodes::Key& other : {KnownInodes::Key{9, 2, 3, 4}, {1, 9, 3, 4}, {1, 2, 9, 4}, {1, 2, 3, 9}}) {
    CHECK(known.find(other) == nullptr);
  }
}

TEST(KnownInodesAreBoundedInMemory) {
  KnownInodes known;
  // 200,000 entries of 4 KiB would be 800 MB; 32 MiB hold some 7,000.
  for (std::uint64_t i = 0; i < 200'000; ++i) known.remember({1, i, 3, 4}, entryOf(i, 4096));
  std::size_t found = 0;
  for (std::uint64_t i = 0; i < 200'000; ++i) found += known.find({1, i, 3, 4}) != nullptr;
  CHECK(found > 5000 && found < 8000);
  CHECK(known.find({1, 0, 3, 4}) == nullptr);
  CHECK(known.find({1, 199'999, 3, 4}) != nullptr);
}

TEST(KnownInodesAreSharedByThreads) {
  KnownInodes known;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&known] {
      for (std::uint64_t i = 0; i < 5000; ++i) {
        known.remember({1, i, 3, 4}, entryOf(i));
        const auto entry = known.find({1, i, 3, 4});
        if (entry != nullptr && entry->facts.size != i) mailhaul::test::check(false, "entry", __FILE__, __LINE__);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(known.find({1, 4999, 3, 4}) != nullptr);
}
