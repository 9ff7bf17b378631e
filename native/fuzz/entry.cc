#include "entry.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "check.h"

namespace mailhaul::fuzz {
namespace {

constexpr std::size_t kHeadBytes = 16;
constexpr std::size_t kMaxParts = 10000;
constexpr std::size_t kMaxLevels = 100;
constexpr std::size_t kMaxFieldBytes = 65536;
/// ENVELOPE and BODYSTRUCTURE of the shortest part (three bytes: a boundary line of an empty boundary in a digest).
constexpr std::size_t kGrowth = 128;
constexpr std::size_t kSlack = 4096;

std::uint32_t u32(Bytes data, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; i++) value |= static_cast<std::uint32_t>(data[at + i]) << (8 * i);
  return value;
}

class Leb128 {
 public:
  explicit Leb128(Bytes data) : data_(data) {}

  std::uint64_t next() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      require(at_ < data_.size() && shift < 63, "numbers of the list of parts are whole");
      const std::uint8_t byte = data_[at_++];
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if (byte < 0x80) return value;
    }
  }
  [[nodiscard]] bool done() const { return at_ == data_.size(); }

 private:
  Bytes data_;
  std::size_t at_ = 0;
};

/// Reads IMAP values: parenthesised lists, quoted strings, literals, numbers and NIL (RFC 3501 4 and 9).
class Imap {
 public:
  explicit Imap(Bytes data) : data_(data) {}

  /// Skips one value; returns how many elements it has when it is a list, else -1.
  long value() {
    require(at_ < data_.size(), "a value is there");
    if (data_[at_] != '(') {
      scalar();
      return -1;
    }
    require(++depth_ <= 3 * kMaxLevels + 10, "lists are not deeper than parts");
    at_++;
    long count = 0;
    while (at_ < data_.size() && data_[at_] != ')') {
      if (data_[at_] == ' ') at_++;
      value();
      count++;
      require(at_ < data_.size() && (data_[at_] == ' ' || data_[at_] == ')' || data_[at_] == '('),
              "values of a list are parted by a space");
      require(data_[at_] != ' ' || (at_ + 1 < data_.size() && data_[at_ + 1] != ')'), "no space before `)`");
    }
    require(at_ < data_.size(), "a list is closed");
    at_++;
    depth_--;
    return count;
  }
  [[nodiscard]] bool done() const { return at_ == data_.size(); }

 private:
  void scalar() {
    if (data_[at_] == '"') return quoted();
    if (data_[at_] == '{') return literal();
    if (data_.size() - at_ >= 3 && std::memcmp(data_.data() + at_, "NIL", 3) == 0) {
      at_ += 3;
      return;
    }
    require(number() != SIZE_MAX, "a value is a list, a string, a number or NIL");
  }

  void quoted() {
    for (at_++; at_ < data_.size() && data_[at_] != '"'; at_++) {
      if (data_[at_] == '\\') {
        at_++;
        require(at_ < data_.size() && (data_[at_] == '"' || data_[at_] == '\\'), "only specials are escaped");
      }
      // RFC 3501 9, TEXT-CHAR: 7 bits, no NUL, CR or LF.
      const std::uint8_t byte = data_[at_];
      require(byte != 0 && byte != '\r' && byte != '\n' && byte < 0x80, "a quoted string holds TEXT-CHAR");
    }
    require(at_ < data_.size(), "a quoted string is closed");
    at_++;
  }

  void literal() {
    at_++;
    const std::size_t bytes = number();
    require(data_.size() - at_ >= 3 && std::memcmp(data_.data() + at_, "}\r\n", 3) == 0, "a literal has its line end");
    at_ += 3;
    require(bytes != SIZE_MAX && bytes <= data_.size() - at_, "a literal is as long as it says");
    at_ += bytes;
  }

  std::size_t number() {
    std::size_t value = SIZE_MAX;
    for (; at_ < data_.size() && data_[at_] >= '0' && data_[at_] <= '9'; at_++) {
      value = (value == SIZE_MAX ? 0 : value * 10) + static_cast<std::size_t>(data_[at_] - '0');
      require(value < (std::size_t{1} << 40U), "a number is none that this message can have");
    }
    return value;
  }

  Bytes data_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
};

std::vector<PartView> readParts(Bytes section) {
  Leb128 numbers(section);
  const std::uint64_t count = numbers.next();
  require(count >= 1 && count <= kMaxParts, "there are 1 to 10,000 parts");
  std::vector<PartView> parts(static_cast<std::size_t>(count));
  std::uint64_t before = 0;
  for (PartView& part : parts) {
    part.kind = numbers.next();
    part.children = numbers.next();
    part.headerStart = before + numbers.next();
    before = part.headerStart;
    part.bodyStart = part.headerStart + numbers.next();
    part.bodyEnd = part.bodyStart + numbers.next();
    part.lines = numbers.next();
  }
  require(numbers.done(), "the list of parts ends with its last part");
  return parts;
}

/// Checks the part at `index` and those in it; returns the index after them.
std::size_t checkPart(const std::vector<PartView>& parts, std::size_t index, std::size_t level, Bytes message) {
  require(index < parts.size() && level < kMaxLevels, "every child is listed, and none is too deep");
  const PartView& part = parts[index];
  require(part.kind <= 2, "a part is a leaf, a multipart or a message");
  require(part.kind != 0 || part.children == 0, "a leaf has no children");
  require(part.kind != 2 || part.children == 1, "a message/rfc822 holds one message");
  require(part.bodyEnd <= message.size(), "a part lies in the message");
  const Bytes body = message.subspan(static_cast<std::size_t>(part.bodyStart),
                                     static_cast<std::size_t>(part.bodyEnd - part.bodyStart));
  require(part.lines == static_cast<std::uint64_t>(std::count(body.begin(), body.end(), '\n')),
          "lines are the LFs of the body");
  std::uint64_t end = part.bodyStart;
  std::size_t next = index + 1;
  for (std::uint64_t child = 0; child < part.children; child++) {
    require(next < parts.size() && parts[next].headerStart >= end, "parts follow one another");
    require(parts[next].bodyEnd <= part.bodyEnd, "a part lies in the body of the one that holds it");
    end = parts[next].bodyEnd;
    next = checkPart(parts, next, level + 1, message);
  }
  return next;
}

}  // namespace

EntryView checkedEntry(Bytes entry, Bytes message) {
  require(entry.size() >= kHeadBytes, "an entry has its head");
  require(entry.size() <= message.size() * kGrowth + kMaxFieldBytes + kSlack, "an entry is bounded by its message");
  std::array<Bytes, 4> sections;
  std::size_t at = kHeadBytes;
  for (std::size_t i = 0; i < sections.size(); i++) {
    const std::size_t length = u32(entry, 4 * i);
    require(length <= entry.size() - at, "a section lies in its entry");
    sections[i] = entry.subspan(at, length);
    at += length;
  }
  require(at == entry.size(), "the sections fill the entry");
  require(sections[3].size() <= kMaxFieldBytes + 1, "fields are bounded");

  EntryView view{sections[0], sections[1], readParts(sections[2]), sections[3]};
  require(checkPart(view.parts, 0, 0, message) == view.parts.size(), "every part belongs to the message");
  require(view.parts.front().headerStart == 0 && view.parts.front().bodyEnd == message.size(),
          "the first part is the message");
  Imap envelope(view.envelope);
  require(envelope.value() == 10 && envelope.done(), "an ENVELOPE has ten values");
  Imap structure(view.bodystructure);
  require(structure.value() > 0 && structure.done(), "a BODYSTRUCTURE is one list");
  return view;
}

}  // namespace mailhaul::fuzz
