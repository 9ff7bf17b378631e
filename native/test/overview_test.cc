// A large message is looked at block by block, and the same is found as in one pass after the other.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/overview.h"
#include "hash/xxh3.h"
#include "mime/crlf.h"
#include "mime/parse.h"
#include "sys/processor.h"
#include "test.h"

using mailhaul::engine::Overview;
using mailhaul::sys::Vectors;

namespace {

constexpr std::size_t kLarge = std::size_t{256} << 10;
constexpr std::size_t kBlock = std::size_t{4} << 10;

std::span<const std::uint8_t> bytesOf(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Parts of 20 lines each, `every` in front of each line.
std::string multipart(std::size_t bytes, const std::string& every = "") {
  std::string text = "From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"cut\"\r\n\r\n";
  for (std::size_t line = 0; text.size() < bytes; ++line) {
    if (line % 20 == 0) text += "\r\n--cut\r\nContent-Type: text/plain\r\n\r\n";
    text += every + "some text of line " + std::to_string(line) + "\r\n";
  }
  text.resize(bytes, 'x');
  return text;
}

std::vector<std::uint8_t> entryOf(const std::string& text, const mailhaul::mime::KnownLines& known) {
  std::vector<std::uint8_t> entry;
  mailhaul::mime::parseMessage(bytesOf(text), entry, known);
  return entry;
}

void checkSame(Overview& overview, const std::string& text) {
  CHECK(overview.look(bytesOf(text)));
  CHECK(overview.digest() == mailhaul::hash::digest(bytesOf(text)));
  CHECK(overview.lines().lfs == mailhaul::mime::lfsOfCrlfForm(bytesOf(text)));
  CHECK(entryOf(text, overview.lines()) == entryOf(text, {}));
}

}  // namespace

TEST(aLargeMessageGivesTheSameDigestAndEntryAsInSinglePasses) {
  Overview overview;
  for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
    mailhaul::sys::useVectors(limit);
    for (const std::size_t more : {0U, 1U, 63U, 4095U, 4096U, 4097U, 70'000U}) {
      const std::string text = multipart(kLarge + more);
      checkSame(overview, text);
      CHECK(overview.lines().dashLines.has_value());
    }
  }
}

TEST(aSmallMessageIsLookedAtInSinglePasses) {
  Overview overview;
  checkSame(overview, multipart(kLarge));
  checkSame(overview, multipart(kLarge - 1));
  CHECK(!overview.lines().dashLines.has_value());
  checkSame(overview, "");
}

TEST(aLargeMessageWithTooManyDashLinesIsSearchedByTheParser) {
  Overview overview;
  checkSame(overview, multipart(kLarge, "--"));
  CHECK(!overview.lines().dashLines.has_value());
}

TEST(aBareLfIsSeenInEveryBlockAndAtTheirEdges) {
  Overview overview;
  for (const std::size_t at : {std::size_t{0}, std::size_t{1}, kBlock - 1, kBlock, kBlock + 1, kLarge - 1}) {
    std::string text(kLarge, 'x');
    text[at] = '\n';
    CHECK(!overview.look(bytesOf(text)));
    if (at == 0) continue;
    text[at - 1] = '\r';
    CHECK(overview.look(bytesOf(text)));
  }
}

TEST(piecesOfAnySizeGiveTheDigestOfTheWhole) {
  const std::string text = multipart(10'000);
  for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
    mailhaul::sys::useVectors(limit);
    for (std::size_t piece = 1; piece < 1100; piece += 91) {
      mailhaul::hash::Stream stream;
      for (std::size_t at = 0; at < text.size(); at += piece) {
        stream.add(bytesOf(text).subspan(at, std::min(piece, text.size() - at)));
      }
      CHECK(stream.digest() == mailhaul::hash::digest(bytesOf(text)));
    }
  }
}
