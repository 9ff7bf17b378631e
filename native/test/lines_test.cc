// The loops over whole messages give the same with and without vector instructions, at every offset of a vector.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mime/crlf.h"
#include "mime/scan.h"
#include "sys/processor.h"
#include "test.h"

using mailhaul::mime::Bytes;
using mailhaul::sys::Vectors;

namespace {

constexpr std::size_t kWindow = 150;  // more than two steps of the widest loop

Bytes bytesOf(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// Restores what the processor has.
class Limited {
 public:
  explicit Limited(Vectors limit) { mailhaul::sys::useVectors(limit); }
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;
  ~Limited() { mailhaul::sys::useVectors(Vectors::avx2); }
};

struct Answer {
  std::size_t lfs;
  std::size_t dashLine;
  std::uint64_t linesBefore;
  bool crlfForm;
  bool operator==(const Answer&) const = default;
};

Answer answer(const std::string& text, std::size_t from, Vectors limit) {
  const Limited limited(limit);
  std::uint64_t lines = 0;
  const std::size_t dashLine = mailhaul::mime::findDashLine(bytesOf(text), from, text.size(), lines);
  return {mailhaul::mime::countLfs(bytesOf(text), from, text.size()), dashLine, lines,
          mailhaul::mime::isCrlfForm(bytesOf(text))};
}

}  // namespace

TEST(VectorsAreUsedOnlyUpToTheLimit) {
  const Limited limited(Vectors::none);
  CHECK(mailhaul::sys::vectors() == Vectors::none);
}

TEST(ADashLineIsFoundAtEveryOffset) {
  for (std::size_t at = 2; at + 2 <= kWindow; ++at) {
    std::string text(kWindow, 'x');
    text.replace(at - 2, 2, "\r\n");
    text.replace(at, 2, "--");
    const Answer expected{1, at, 1, true};
    for (const Vectors limit : {Vectors::none, Vectors::avx2}) CHECK(answer(text, 0, limit) == expected);
  }
}

TEST(ABareLfIsFoundAtEveryOffset) {
  for (std::size_t at = 0; at < kWindow; ++at) {
    std::string text(kWindow, 'x');
    text[at] = '\n';
    for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
      CHECK(answer(text, 0, limit) == (Answer{1, kWindow, 1, false}));
    }
  }
}

TEST(TheLfsOfACrlfFormAreCounted) {
  for (std::size_t size = 0; size < kWindow * 3; ++size) {
    std::string text;
    while (text.size() < size) text += "\r\nab";
    const std::uint64_t lfs = mailhaul::mime::countLfs(bytesOf(text), 0, text.size());
    for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
      const Limited limited(limit);
      CHECK(mailhaul::mime::lfsOfCrlfForm(bytesOf(text)) == lfs);
    }
  }
}

TEST(LinesAreCountedFromEveryOffset) {
  std::string text;
  while (text.size() < kWindow) text += "-\r\n-x\n--y\r\n";
  for (std::size_t from = 0; from < text.size(); ++from) {
    CHECK(answer(text, from, Vectors::none) == answer(text, from, Vectors::avx2));
  }
}

namespace {

struct Surveyed {
  std::size_t lfs;
  std::size_t bare;
  std::vector<std::pair<std::size_t, std::uint64_t>> dashLines;
  bool operator==(const Surveyed&) const = default;
};

/// In pieces that end at `cut`.
Surveyed survey(const std::string& text, std::size_t cut, Vectors limit) {
  const Limited limited(limit);
  mailhaul::mime::LineSurvey survey;
  mailhaul::mime::surveyLines(bytesOf(text), 1, cut, survey);
  mailhaul::mime::surveyLines(bytesOf(text), cut, text.size(), survey);
  Surveyed out{survey.counts.lfs, survey.counts.bare, {}};
  for (const auto& [at, lfsBefore] : survey.dashLines) out.dashLines.emplace_back(at, lfsBefore);
  return out;
}

}  // namespace

TEST(ASurveyFindsADashLineAtEveryOffsetAndAcrossPieces) {
  for (std::size_t at = 3; at + 2 <= kWindow; ++at) {
    std::string text(kWindow, 'x');
    text.replace(at - 2, 4, "\r\n--");
    const Surveyed expected{1, 0, {{at, 1}}};
    for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
      for (std::size_t cut = 1; cut <= kWindow; ++cut) CHECK(survey(text, cut, limit) == expected);
    }
  }
}

TEST(ASurveyTellsOneDashFromTwoAndABareLfFromACrlf) {
  std::string text = "x";
  while (text.size() < kWindow) text += "-\r\n-x\n--y\r\n--";
  text += "\n-";
  Surveyed expected{0, 0, {}};
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] != '\n') continue;
    ++expected.lfs;
    if (text[i - 1] != '\r') ++expected.bare;
    if (text.compare(i + 1, 2, "--") == 0) expected.dashLines.emplace_back(i + 1, expected.lfs);
  }
  for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
    for (std::size_t cut = 1; cut <= text.size(); ++cut) CHECK(survey(text, cut, limit) == expected);
  }
}

TEST(ASurveyKeepsNoneOfTooManyDashLines) {
  mailhaul::mime::LineSurvey survey;
  std::string text = "x";
  for (std::size_t i = 0; i < mailhaul::mime::LineSurvey::maxDashLines; ++i) text += "\r\n--";
  mailhaul::mime::surveyLines(bytesOf(text), 1, text.size(), survey);
  CHECK(survey.hasAllDashLines);
  text += "\r\n--";
  survey = {};
  mailhaul::mime::surveyLines(bytesOf(text), 1, text.size(), survey);
  CHECK(!survey.hasAllDashLines);
  CHECK_EQ(survey.counts.lfs, mailhaul::mime::LineSurvey::maxDashLines + 1);
}
