// The message parser on any bytes: no crash, no read outside the message, and an entry that keeps every promise of
// store-idx.md ("Cache entry"), whether the message is in CRLF form or not.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "check.h"
#include "entry.h"
#include "mime/crlf.h"
#include "mime/parse.h"
#include "mutate.h"

using mailhaul::fuzz::Bytes;
using mailhaul::fuzz::checkedEntry;
using mailhaul::fuzz::EntryView;
using mailhaul::fuzz::require;

namespace {

std::vector<std::uint8_t> entryOf(Bytes message) {
  // Something is there already: the parser appends.
  std::vector<std::uint8_t> out{0xAA};
  const std::uint64_t headerBytes = mailhaul::mime::parseMessage(message, out);
  require(out[0] == 0xAA, "the parser only appends");
  out.erase(out.begin());
  const EntryView view = checkedEntry(out, message);
  require(headerBytes == view.parts.front().bodyStart, "header bytes are those of the first part");
  return out;
}

/// As the engine gives a large one to the parser.
void compareSurveyed(Bytes message, Bytes entry) {
  if (message.empty() || message[0] == '\n') return;
  mailhaul::mime::LineSurvey survey;
  mailhaul::mime::surveyLines(message, 1, message.size(), survey);
  if (!survey.hasAllDashLines) return;
  std::vector<std::uint8_t> surveyed;
  mailhaul::mime::parseMessage(message, surveyed, {survey.counts.lfs, survey.dashLines});
  require(std::equal(entry.begin(), entry.end(), surveyed.begin(), surveyed.end()),
          "lines that are known give the same entry");
}

std::vector<std::uint8_t> crlfOf(Bytes data) {
  std::vector<std::uint8_t> out;
  mailhaul::mime::toCrlfForm(data, out);
  return out;
}

bool same(Bytes a, Bytes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

/// Line ends change offsets and sizes, nothing else. Where a bound in bytes was reached, they may change what is left
/// out, so only messages far below the bounds are compared.
void compareForms(Bytes message, Bytes entry, Bytes crlf, Bytes crlfEntry) {
  if (crlf.size() > 32768) return;
  const EntryView a = checkedEntry(entry, message);
  const EntryView b = checkedEntry(crlfEntry, crlf);
  require(same(a.envelope, b.envelope), "line ends do not change the ENVELOPE");
  require(same(crlfOf(a.fields), b.fields), "line ends do not change the fields");
  require(a.parts.size() == b.parts.size(), "line ends do not change the parts");
  for (std::size_t i = 0; i < a.parts.size(); i++) {
    require(a.parts[i].kind == b.parts[i].kind && a.parts[i].children == b.parts[i].children &&
                a.parts[i].lines == b.parts[i].lines,
            "line ends do not change what a part is");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const Bytes message(bytes, size);
  const std::vector<std::uint8_t> entry = entryOf(message);
  require(same(entry, entryOf(message)), "the same message gives the same entry");
  compareSurveyed(message, entry);
  if (mailhaul::mime::isCrlfForm(message)) return 0;
  const std::vector<std::uint8_t> crlf = crlfOf(message);
  compareForms(message, entry, crlf, entryOf(crlf));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t room,
                                               unsigned int seed) {
  return mailhaul::fuzz::mutateMessage(data, size, room, seed);
}
