// How a message file is read: into memory, or mapped where it is large and in the page cache.
#include "engine/source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <string>

#include "engine/buffer.h"
#include "support.h"
#include "sys/calls.h"
#include "test.h"

using mailhaul::engine::Buffer;
using mailhaul::engine::MessageError;
using mailhaul::engine::Source;
using mailhaul::test::ArmedPace;
using mailhaul::test::PaceMemory;
using mailhaul::test::TestFolder;

namespace {

constexpr std::size_t kLarge = std::size_t{2} << 20;

/// A message of so many bytes, its line ends not at equal distances.
std::string messageOf(std::size_t bytes) {
  std::string text = "Subject: large\r\n\r\n";
  for (std::size_t i = 0; text.size() < bytes; ++i) text += std::string(i % 71, 'x') + "\r\n";
  text.resize(bytes);
  return text;
}

/// The only message of a folder, opened.
class Opened {
 public:
  explicit Opened(const std::string& content) {
    folder_.add(1, "m", content);
    const auto input = folder_.input();
    const auto record = mailhaul::engine::recordOf(input.messages, 0);
    CHECK(source.open(input.sourceFd, "m", record, {::geteuid(), false}).ok());
  }
  [[nodiscard]] std::filesystem::path path() const { return folder_.source / "m"; }
  [[nodiscard]] bool holds(const std::string& content) const {
    return std::ranges::equal(source.bytes(), content,
                              [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); });
  }
  /// tmpfs and others read nothing "if it is there": all is read into memory then.
  [[nodiscard]] bool canTell(std::size_t bytes) const {
    if (mailhaul::sys::isCached(source.fd(), bytes - 1)) return true;
    std::cerr << "/tmp does not tell what is in the page cache (RWF_NOWAIT): not tested\n";
    return false;
  }

  Source source;
  Buffer buffer;

 private:
  TestFolder folder_;
};

}  // namespace

TEST(aLargeMessageInThePageCacheIsMapped) {
  const std::string content = messageOf(kLarge);
  Opened opened(content);
  if (!opened.canTell(kLarge)) return;
  CHECK(opened.source.read(opened.buffer).ok());
  CHECK(opened.source.isMapped() && opened.holds(content));
}

TEST(aSmallerOneIsReadIntoMemory) {
  const std::string content = messageOf(kLarge - 1);
  Opened opened(content);
  CHECK(opened.source.read(opened.buffer).ok());
  CHECK(!opened.source.isMapped() && opened.holds(content));
}

TEST(oneThatIsOnTheDiskIsReadIntoMemory) {
  const std::string content = messageOf(kLarge);
  Opened opened(content);
  if (!opened.canTell(kLarge)) return;
  CHECK_EQ(::fsync(opened.source.fd()), 0);
  CHECK_EQ(::posix_fadvise(opened.source.fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
  CHECK(opened.source.read(opened.buffer).ok());
  CHECK(!opened.source.isMapped() && opened.holds(content));
}

TEST(oneOfAPacedThreadIsReadPieceByPiece) {
  const std::string content = messageOf(kLarge);
  Opened opened(content);
  PaceMemory memory(1'000'000, 0);
  memory.end();  // no wait lasts
  const ArmedPace armed(memory);
  CHECK(opened.source.read(opened.buffer).ok());
  CHECK(!opened.source.isMapped() && opened.holds(content));
}

TEST(aMappedOneThatIsCutAfterwardsIsChanged) {
  Opened opened(messageOf(kLarge));
  if (!opened.canTell(kLarge)) return;
  CHECK(opened.source.read(opened.buffer).ok());
  std::filesystem::resize_file(opened.path(), 5);
  const auto bytes = opened.source.bytes();
  CHECK(std::count(bytes.begin(), bytes.end(), 'x') < 5);
  CHECK(opened.source.check().error == MessageError::changed);
}
