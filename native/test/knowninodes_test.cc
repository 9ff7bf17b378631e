#include "engine/knowninodes.h"

#include <string>
#include <thread>
#include <vector>

#include "test.h"

using mailhaul::engine::KnownInodes;

namespace {

using Key = KnownInodes::Key;

void remember(KnownInodes& known, const Key& key, std::uint64_t i, std::size_t bytes = 10) {
  const std::vector<std::uint8_t> cache(bytes, static_cast<std::uint8_t>(i));
  known.remember(key, {.size = i, .headerBytes = i, .digest = {}, .rewritten = false}, cache);
}

/// Whether the inode is known; false, and a failed check, when it is known as another one.
bool isKnown(KnownInodes& known, const Key& key, std::uint64_t i, std::size_t bytes = 10) {
  KnownInodes::Entry entry;
  if (!known.find(key, entry)) return false;
  const bool right = entry.facts.size == i && entry.facts.headerBytes == i &&
                     entry.cache == std::vector<std::uint8_t>(bytes, static_cast<std::uint8_t>(i));
  if (!right) mailhaul::test::check(false, "what is known of an inode", __FILE__, __LINE__);
  return right;
}

}  // namespace

TEST(AnInodeIsKnownByAllOfItsKey) {
  KnownInodes known;
  CHECK(!known.hasAny() && !isKnown(known, {1, 2, 3, 4}, 7));
  remember(known, {1, 2, 3, 4}, 7);
  CHECK(known.hasAny() && isKnown(known, {1, 2, 3, 4}, 7));
  for (const Key& other : {Key{9, 2, 3, 4}, {1, 9, 3, 4}, {1, 2, 9, 4}, {1, 2, 3, 9}}) CHECK(!isKnown(known, other, 7));
}

TEST(WhatIsKnownOfAnInodeStays) {
  KnownInodes known;
  remember(known, {1, 2, 3, 4}, 7);
  remember(known, {1, 2, 3, 4}, 8);
  CHECK(isKnown(known, {1, 2, 3, 4}, 7));
}

TEST(AnEntryMayBeEmptyAndAGiantIsNotKept) {
  KnownInodes known;
  remember(known, {1, 2, 3, 4}, 7, 0);
  CHECK(isKnown(known, {1, 2, 3, 4}, 7, 0));
  remember(known, {1, 3, 3, 4}, 7, std::size_t{1} << 20);
  CHECK(!isKnown(known, {1, 3, 3, 4}, 7, std::size_t{1} << 20));
}

TEST(KnownInodesAreBoundedInMemory) {
  for (const std::size_t bytes : {std::size_t{300}, std::size_t{4096}, std::size_t{100'000}}) {
    KnownInodes known;
    // Several times what 32 MiB hold, of a size that does not divide it.
    const std::uint64_t room = (std::uint64_t{32} << 20) / (bytes + 80);
    const std::uint64_t all = room * 5;
    for (std::uint64_t i = 0; i < all; ++i) remember(known, {1, i, 3, 4}, i, bytes);
    std::uint64_t found = 0;
    for (std::uint64_t i = 0; i < all; ++i) found += isKnown(known, {1, i, 3, 4}, i, bytes) ? 1 : 0;
    CHECK(found > room * 8 / 10 && found <= room * 11 / 10);
    // The youngest are all there.
    for (std::uint64_t i = all - room / 4; i < all; ++i) CHECK(isKnown(known, {1, i, 3, 4}, i, bytes));
    CHECK(!isKnown(known, {1, 0, 3, 4}, 0, bytes));
  }
}

// Where entries are so small that the buckets are full before the ring is, the oldest of a bucket makes room.
TEST(FullBucketsForgetTheOldest) {
  KnownInodes known;
  const std::uint64_t all = 1'000'000;
  for (std::uint64_t i = 0; i < all; ++i) remember(known, {1, i, 3, 4}, i, 0);
  for (std::uint64_t i = all - 50'000; i < all; ++i) CHECK(isKnown(known, {1, i, 3, 4}, i, 0));
}

TEST(KnownInodesAreSharedByThreads) {
  KnownInodes known;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&known] {
      for (std::uint64_t i = 0; i < 5000; ++i) {
        remember(known, {1, i, 3, 4}, i);
        if (!isKnown(known, {1, i, 3, 4}, i)) mailhaul::test::check(false, "entry", __FILE__, __LINE__);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(isKnown(known, {1, 4999, 3, 4}, 4999));
}
