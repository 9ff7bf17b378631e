// The loops that touch every byte, AVX2 or not, against ones that a reader can check at a glance: the CRLF form, the
// count of lines, the search for lines that begin with two dashes.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "check.h"
#include "mime/crlf.h"
#include "mime/scan.h"

using mailhaul::fuzz::require;
using mailhaul::mime::Bytes;

namespace {

std::vector<std::uint8_t> plainCrlf(Bytes data) {
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i < data.size(); i++) {
    if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r')) out.push_back('\r');
    out.push_back(data[i]);
  }
  return out;
}

std::size_t plainDashLine(Bytes data, std::size_t from, std::size_t end, std::uint64_t& lines) {
  for (std::size_t i = from; i < end; i++) {
    if (data[i] != '\n') continue;
    lines++;
    if (i + 2 < end && data[i + 1] == '-' && data[i + 2] == '-') return i + 1;
  }
  return end;
}

void checkCrlf(Bytes data) {
  const std::vector<std::uint8_t> plain = plainCrlf(data);
  std::vector<std::uint8_t> out(3, 0x55);
  mailhaul::mime::toCrlfForm(data, out);
  require(out == plain, "the CRLF form is that of the profile");
  require(mailhaul::mime::isCrlfForm(data) == (plain.size() == data.size()), "the CRLF form is recognised");
  require(mailhaul::mime::isCrlfForm(out), "the CRLF form is in CRLF form");
}

void checkScan(Bytes data, std::size_t from, std::size_t end) {
  const auto lfs = static_cast<std::size_t>(std::count(data.begin() + static_cast<std::ptrdiff_t>(from),
                                                       data.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
  require(mailhaul::mime::countLfs(data, from, end) == lfs, "every LF is counted once");
  for (std::size_t at = from; at < end;) {
    std::uint64_t lines = 7;
    std::uint64_t plainLines = 7;
    const std::size_t next = mailhaul::mime::findDashLine(data, at, end, lines);
    require(next == plainDashLine(data, at, end, plainLines) && lines == plainLines, "the next dash line is found");
    require(next > at, "a search goes on");
    at = next;
  }
}

/// In two pieces, as the blocks of a large message.
void checkSurvey(Bytes data, std::size_t cut) {
  mailhaul::mime::LineSurvey survey;
  mailhaul::mime::surveyLines(data, 1, cut, survey);
  mailhaul::mime::surveyLines(data, cut, data.size(), survey);
  std::uint64_t lfs = 0;
  std::size_t bare = 0;
  std::size_t dashLine = 0;
  for (std::size_t i = 1; i < data.size(); i++) {
    if (data[i] != '\n') continue;
    lfs++;
    bare += data[i - 1] != '\r' ? 1 : 0;
    if (data.size() - i <= 2 || data[i + 1] != '-' || data[i + 2] != '-' || !survey.hasAllDashLines) continue;
    require(dashLine < survey.dashLines.size() && survey.dashLines[dashLine].at == i + 1 &&
                survey.dashLines[dashLine].lfsBefore == lfs,
            "a survey notes every dash line");
    dashLine++;
  }
  require(survey.counts.lfs == lfs && survey.counts.bare == bare, "a survey counts every LF once");
  require(!survey.hasAllDashLines || dashLine == survey.dashLines.size(), "a survey notes nothing else");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  // The first two bytes choose a window, so that every alignment and tail of the wide loops comes up.
  const std::size_t start = size > 0 ? bytes[0] % 64 : 0;
  const Bytes data(bytes, size);
  checkCrlf(data);
  const std::size_t from = std::min(start, size);
  const std::size_t cut = size > 1 ? bytes[1] % 64 : 0;
  const std::size_t end = std::max(from, size - std::min(cut, size));
  checkScan(data, from, end);
  checkScan(data, 0, size);
  if (size > 0) checkSurvey(data, std::max<std::size_t>(from, 1));
  return 0;
}
