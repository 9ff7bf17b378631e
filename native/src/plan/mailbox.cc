#include "plan/mailbox.h"

#include <algorithm>
#include <array>

namespace mailhaul::plan {
namespace {

constexpr std::uint64_t kMaxUid = 4294967295;
/// 9999-12-31T23:59:59Z: an IMAP date-time has four digits for the year (RFC 3501, `date-year`).
constexpr std::uint64_t kMaxDate = 253402300799;

/// Digits from the front of `text`, and the blank behind them, which is not taken.
bool takeNumber(std::string_view& text, std::uint64_t& out) noexcept {
  std::size_t at = 0;
  std::uint64_t value = 0;
  for (; at < text.size(); ++at) {
    const unsigned digit = static_cast<unsigned char>(text[at]) - unsigned{'0'};
    if (digit > 9) break;
    if (at == kDigits) return false;
    value = value * 10 + digit;
  }
  out = value;
  text.remove_prefix(at);
  return at > 0;
}

bool takeBlank(std::string_view& text) noexcept {
  if (text.empty() || text.front() != ' ') return false;
  text.remove_prefix(1);
  return true;
}

/// FLAG of src/engine/types.ts; `R`, recent, is read and dropped (3x-profile.md, `flags`).
int flagOf(char letter) noexcept {
  switch (letter) {
    case 'S':
      return 1;
    case 'A':
      return 2;
    case 'F':
      return 4;
    case 'D':
      return 8;
    case 'T':
      return 16;
    case 'R':
      return 0;
    default:
      return -1;
  }
}

bool parseFlags(std::string_view field, Line& out) noexcept {
  out.flags = 0;
  out.keywords = {};
  if (field == "-") return true;
  std::size_t at = 0;
  for (; at < field.size() && field[at] != ','; ++at) {
    const int flag = flagOf(field[at]);
    if (flag < 0 || (out.flags & static_cast<std::uint32_t>(flag)) != 0) return false;
    out.flags |= static_cast<std::uint32_t>(flag);
  }
  out.keywords = field.substr(at);
  return true;
}

/// "Empty, with `/` or NUL, or with a leading `.`: the line is not usable" (3x-profile.md).
bool isUsable(std::string_view name) noexcept {
  if (name.empty() || name.front() == '.') return false;
  return std::none_of(name.begin(), name.end(), [](char c) { return c == '/' || c == '\0'; });
}

/// Bytes of an atom (RFC 3501, `atom`): 7-bit, no controls, none of `(){%*"\]` and blank.
constexpr std::array<bool, 256> kAtom = [] {
  std::array<bool, 256> atom{};
  for (std::size_t c = 0x21; c < 0x7f; ++c) atom[c] = true;
  for (const char c : std::string_view("(){%*\"\\]")) atom[static_cast<unsigned char>(c)] = false;
  return atom;
}();

}  // namespace

bool parseHeader(std::string_view line, Header& out) noexcept {
  constexpr std::string_view kMagic = "NSMB 3 ";
  if (!line.starts_with(kMagic)) return false;
  line.remove_prefix(kMagic.size());
  std::uint64_t uidvalidity = 0;
  std::uint64_t uidnext = 0;
  if (!takeNumber(line, uidvalidity) || !takeBlank(line) || !takeNumber(line, uidnext) || !line.empty()) return false;
  const auto valid = [](std::uint64_t value) { return value >= 1 && value <= kMaxUid; };
  if (!valid(uidvalidity) || !valid(uidnext)) return false;
  out = {static_cast<std::uint32_t>(uidvalidity), static_cast<std::uint32_t>(uidnext)};
  return true;
}

bool parseLine(std::string_view line, Line& out) noexcept {
  std::uint64_t uid = 0;
  std::uint64_t date = 0;
  std::uint64_t size = 0;
  if (!takeNumber(line, uid) || uid < 1 || uid > kMaxUid || !takeBlank(line)) return false;
  if (!takeNumber(line, date) || date > kMaxDate || !takeBlank(line)) return false;
  const std::size_t flags = line.find(' ');
  if (flags == std::string_view::npos || !parseFlags(line.substr(0, flags), out)) return false;
  line.remove_prefix(flags + 1);
  if (!takeNumber(line, size) || !takeBlank(line) || !isUsable(line)) return false;
  out.uid = static_cast<std::uint32_t>(uid);
  out.date = static_cast<double>(date);
  out.size = static_cast<double>(size);
  out.name = line;
  return true;
}

bool Keywords::add(std::string_view list, std::vector<std::uint32_t>& refs) {
  ++message_;
  const std::size_t first = refs.size();
  while (!list.empty()) {
    list.remove_prefix(1);
    const std::string_view keyword = list.substr(0, list.find(','));
    list.remove_prefix(keyword.size());
    if (keyword.empty()) return false;
    std::string fold(keyword);
    for (char& c : fold) {
      if (!kAtom[static_cast<unsigned char>(c)]) return false;
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    const auto [entry, isNew] = byFold_.try_emplace(std::move(fold), static_cast<std::uint32_t>(table_.size()));
    if (isNew) {
      if (table_.size() == kKeywords) return false;
      table_.emplace_back(keyword);
      namedBy_.push_back(0);
    }
    const std::uint32_t number = entry->second;
    if (namedBy_[number] == message_) continue;
    namedBy_[number] = message_;
    refs.push_back(number);
  }
  std::sort(refs.begin() + static_cast<std::ptrdiff_t>(first), refs.end());
  return true;
}

}  // namespace mailhaul::plan
