// Messages that are opened and read ahead are what they are when they are opened one after another.
#include "engine/readahead.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "engine/migrate.h"
#include "engine/scratch.h"
#include "support.h"
#include "sys/calls.h"
#include "test.h"

using mailhaul::engine::AheadMemory;
using mailhaul::engine::Buffer;
using mailhaul::engine::MessageError;
using mailhaul::engine::Outcome;
using mailhaul::engine::ReadAhead;
using mailhaul::engine::Scratch;
using mailhaul::engine::Source;
using mailhaul::test::FewDescriptors;
using mailhaul::test::openDescriptors;
using mailhaul::test::TestFolder;

namespace {

std::string nameOf(std::size_t i) { return "m" + std::to_string(i); }

std::string contentOf(std::size_t i) {
  // Some of a batch fill its memory, some are too large for it, some are empty.
  const std::size_t sizes[] = {
      0, 1, 100, 5000, 8192, 100'000, AheadMemory::kMostBytes - 1, AheadMemory::kMostBytes, 300'000};
  std::string text(sizes[i % std::size(sizes)], 'a');
  for (std::size_t at = 0; at < text.size(); at += 50) text[at] = static_cast<char>('a' + (i + at) % 26);
  return text;
}

struct Mail {
  TestFolder folder;
  std::size_t count;
  explicit Mail(std::size_t messages) : count(messages) {
    for (std::size_t i = 0; i < count; ++i) {
      folder.add(static_cast<std::uint32_t>(i + 1), nameOf(i), contentOf(i));
    }
  }
};

enum class Way { oneAfterAnother, ring, advice };

std::unique_ptr<AheadMemory> memoryFor(Way way) {
  auto memory = std::make_unique<AheadMemory>();
  if (way == Way::advice) memory->useNoRing();
  if (way != Way::oneAfterAnother) {
    for (int i = 0; i < 8; ++i) memory->observe(true);
  }
  return memory;
}

/// What became of each message: its content, or the error's number.
std::vector<std::string> readAll(Mail& mail, AheadMemory& memory, std::size_t most) {
  const auto input = mail.folder.input();
  std::vector<std::uint32_t> order(mail.count);
  std::iota(order.begin(), order.end(), 0U);
  std::vector<std::string> all;
  Buffer buffer;
  ReadAhead ahead(input, order, memory);
  for (std::size_t k = 0; k < std::min(most, order.size()); ++k) {
    Source* source = nullptr;
    Outcome outcome = ahead.open(k, source);
    if (outcome.ok()) outcome = source->read(buffer);
    const auto bytes = outcome.ok() ? source->bytes() : std::span<const std::uint8_t>();
    all.emplace_back(outcome.ok() ? std::string(bytes.begin(), bytes.end())
                                  : "error " + std::to_string(static_cast<int>(outcome.error)));
    source->close();
  }
  return all;
}

std::vector<std::string> readAll(Mail& mail, Way way) {
  const auto memory = memoryFor(way);
  const std::vector<std::string> all = readAll(mail, *memory, mail.count);
  if (way == Way::ring && !memory->hasRing()) std::cerr << "no io_uring here: tested without\n";
  return all;
}

}  // namespace

TEST(BatchesKeepToTheFilesThatMayBeOpen) {
  struct Row {
    std::size_t files, threads, batch;
  };
  constexpr Row kRows[] = {
#include "readahead_batches.inc"
  };
  for (const Row& row : kRows) CHECK_EQ(mailhaul::engine::batchOf(row.files, row.threads), row.batch);
  CHECK_EQ(mailhaul::engine::batchOf(std::numeric_limits<std::size_t>::max(), 1), AheadMemory::kBatch);
}

TEST(WhatIsReadAheadIsTheMessage) {
  Mail mail(400);
  const std::ptrdiff_t open = openDescriptors();
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < mail.count; ++i) expected.push_back(contentOf(i));
  CHECK(readAll(mail, Way::oneAfterAnother) == expected);
  CHECK(readAll(mail, Way::ring) == expected);
  CHECK(readAll(mail, Way::advice) == expected);
  CHECK_EQ(openDescriptors(), open);
}

TEST(WhatWasChangedSinceItWasListedFailsAheadToo) {
  Mail mail(200);
  const auto change = [&](std::size_t i, std::string_view content) {
    mailhaul::test::writeFile(mail.folder.source / nameOf(i), content);
  };
  change(3, std::string(5001, 'x'));
  change(4, std::string(10, 'x'));
  change(70, "");
  std::filesystem::remove(mail.folder.source / nameOf(100));
  std::filesystem::remove(mail.folder.source / nameOf(101));
  std::filesystem::create_symlink(nameOf(3), mail.folder.source / nameOf(101));
  std::filesystem::remove(mail.folder.source / nameOf(102));
  const auto fifo = mail.folder.source / nameOf(102);
  CHECK_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  // Somebody could still write to it.
  const mailhaul::sys::Fd writer(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
  const std::vector<std::string> expected = readAll(mail, Way::oneAfterAnother);
  CHECK_EQ(std::ranges::count_if(expected, [](const std::string& text) { return text.starts_with("error"); }), 6);
  CHECK(readAll(mail, Way::ring) == expected);
  CHECK(readAll(mail, Way::advice) == expected);
}

TEST(WhatNobodyAsksForIsClosed) {
  Mail mail(300);
  for (const Way way : {Way::oneAfterAnother, Way::ring, Way::advice}) {
    const auto memory = memoryFor(way);
    CHECK_EQ(readAll(mail, *memory, 1).size(), 1U);
    const std::ptrdiff_t open = openDescriptors();
    for (const std::size_t most : {std::size_t{1}, std::size_t{64}, std::size_t{65}, std::size_t{299}}) {
      CHECK_EQ(readAll(mail, *memory, most).size(), most);
      CHECK_EQ(openDescriptors(), open);
    }
  }
}

TEST(ReadingAheadGoesOnWithFewDescriptors) {
  Mail mail(300);
  const std::vector<std::string> expected = readAll(mail, Way::oneAfterAnother);
  for (const Way way : {Way::ring, Way::advice}) {
    const FewDescriptors few(6);
    const auto memory = memoryFor(way);
    CHECK(readAll(mail, *memory, mail.count) == expected);
  }
}

TEST(ColdMailIsMigratedWithFewDescriptors) {
  for (const Way way : {Way::oneAfterAnother, Way::ring, Way::advice}) {
    for (const int spare : {6, 8, 12, 30}) {
      TestFolder folder;
      for (std::uint32_t i = 0; i < 300; ++i) folder.add(i * 40 + 1, nameOf(i), contentOf(i + 1) + "\r\n");
      const auto input = folder.input();
      Scratch scratch;
      if (way == Way::advice) scratch.ahead.useNoRing();
      for (int i = 0; i < 8 && way != Way::oneAfterAnother; ++i) scratch.ahead.observe(true);
      const FewDescriptors few(spare);
      const auto result = mailhaul::engine::migrate(input, scratch);
      CHECK(result.published);
      CHECK_EQ(result.haltError, 0);
    }
  }
}

TEST(WhatIsOpenAheadGivesWay) {
  Mail mail(100);
  for (const Way way : {Way::ring, Way::advice}) {
    const auto memory = memoryFor(way);
    const auto input = mail.folder.input();
    std::vector<std::uint32_t> order(mail.count);
    std::iota(order.begin(), order.end(), 0U);
    const std::ptrdiff_t open = openDescriptors();
    ReadAhead ahead(input, order, *memory);
    Source* source = nullptr;
    CHECK(ahead.open(0, source).ok());
    CHECK(openDescriptors() > open + 8);
    CHECK(ahead.letGo(0));
    CHECK(!ahead.letGo(0));
    CHECK_EQ(openDescriptors(), open + 1 + (memory->hasRing() ? 1 : 0));
    Source* next = nullptr;
    CHECK(ahead.open(1, next).ok());
    Buffer buffer;
    CHECK(next->read(buffer).ok());
    CHECK_EQ(next->bytes().size(), contentOf(1).size());
    CHECK(source->isOpen());
  }
}

TEST(ReadingAheadBeginsWithColdMailAndEndsWithWarm) {
  AheadMemory memory;
  memory.observe(true);
  CHECK(!memory.isCold());
  memory.observe(true);
  CHECK(memory.isCold());
  for (int i = 0; i < 15; ++i) memory.observe(false);
  CHECK(memory.isCold());
  memory.observe(false);
  CHECK(!memory.isCold());
}

TEST(ColdMailIsMigratedAsWarmMailIs) {
  const auto migrated = [](bool cold) {
    TestFolder folder;
    for (std::uint32_t i = 0; i < 300; ++i) {
      folder.add(i + 1, nameOf(i), "Subject: " + std::to_string(i) + "\r\n\r\n" + std::string(i * 40, 'x') + "\r\n");
    }
    if (cold) {
      int kept = 0;
      for (const auto& entry : std::filesystem::directory_iterator(folder.source)) {
        const mailhaul::sys::Fd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
        CHECK_EQ(::fsync(fd.get()), 0);
        CHECK_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
        kept += mailhaul::sys::isCached(fd.get(), 0) ? 1 : 0;
      }
      if (kept > 250) std::cerr << "/tmp keeps " << kept << " of 300 files in memory: not read from a disk\n";
    }
    Scratch scratch;
    CHECK(mailhaul::engine::migrate(folder.input(), scratch).published);
    return folder.target();
  };
  const auto warm = migrated(false);
  CHECK_EQ(warm.size(), 301U);
  CHECK(migrated(true) == warm);
}
