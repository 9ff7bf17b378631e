#include "structure.h"

#include <algorithm>

#include "lines.h"
#include "names.h"
#include "scan.h"

namespace mailhaul::mime {
namespace {

/// Bytes of the line end just before `at`: 2 for CRLF, 1 for LF, 0 for none; nothing before `floor` counts.
std::size_t lineEndBefore(Bytes data, std::size_t at, std::size_t floor) noexcept {
  if (at <= floor || data[at - 1] != '\n') return 0;
  return at - 1 > floor && data[at - 2] == '\r' ? 2 : 1;
}

/// A boundary line of one of the open multiparts.
struct Found {
  std::size_t level;
  bool closing;
};

class TreeParser {
 public:
  TreeParser(Bytes data, const KnownLines& known, MessageTree& tree) noexcept
      : data_(data), known_(known), tree_(tree) {}

  void parse() {
    std::uint32_t part = begin(noPart, 0);
    for (;;) {
      std::size_t bodyStart = readHeader(part);
      while (tree_.parts[part].kind == Kind::message) {
        part = begin(part, bodyStart);
        bodyStart = readHeader(part);
      }
      const std::uint32_t owner = readBody(part, bodyStart);
      if (owner == noPart) return;
      part = begin(owner, at_);
    }
  }

 private:
  std::uint32_t begin(std::uint32_t parent, std::size_t headerStart) {
    const auto index = static_cast<std::uint32_t>(tree_.parts.size());
    Part& part = tree_.parts.emplace_back();
    part.parent = parent;
    part.headerStart = part.bodyStart = part.bodyEnd = headerStart;
    if (parent != noPart) {
      Part& outer = tree_.parts[parent];
      part.level = outer.level + 1;
      if (outer.lastChild != noPart) tree_.parts[outer.lastChild].nextSibling = index;
      outer.lastChild = index;
      outer.children++;
    }
    return index;
  }

  /// Moves behind the line that ends at `lf`, which may be the end of the message.
  void take(std::size_t lf) noexcept {
    if (lf < data_.size()) {
      at_ = lf + 1;
      lines_++;
    } else {
      at_ = data_.size();
    }
  }

  /// Reads the header at `at_`, decides what the part is, and returns where its body begins.
  std::size_t readHeader(std::uint32_t index) {
    constexpr std::size_t none = SIZE_MAX;
    Part& part = tree_.parts[index];
    part.firstField = tree_.fields.size();
    std::size_t field = none;
    bool blank = false;
    bool atBoundary = false;
    LineEnds ends(data_, at_);
    while (at_ < data_.size()) {
      const std::size_t line = at_;
      const std::size_t lf = ends.next();
      const std::uint8_t first = data_[line];
      if (field != none) {
        if (isBlank(first)) {
          take(lf);
          continue;
        }
        addField(part, field, line);
        field = none;
      }
      if (first == '\n' || (first == '\r' && lf == line + 1 && lf < data_.size())) {
        take(lf);
        blank = true;
        break;
      }
      if (first == '-' && findBoundary(line, lf)) {
        atBoundary = true;
        break;
      }
      field = line;
      take(lf);
    }
    if (field != none) addField(part, field, at_);

    part.lastField = tree_.fields.size();
    part.bodyStart = at_;
    part.lines = lines_;
    if (atBoundary && at_ > part.headerStart) {
      part.bodyStart -= lineEndBefore(data_, at_, part.headerStart);
      part.lines--;
    }
    decide(part, index, blank);
    return part.bodyStart;
  }

  /// The header of a message, not of a part of a multipart: it makes an ENVELOPE and may be no MIME at all.
  [[nodiscard]] bool isMessageHeader(const Part& part) const noexcept {
    return part.parent == noPart || tree_.parts[part.parent].kind == Kind::message;
  }

  /// Without Content-Type and MIME-Version a message is no MIME (RFC 2045 4): its other Content-* fields do not rule.
  void dropUnlessMime(Part& part) const noexcept {
    const auto rules = [&](Field kind) { return part.ruling[static_cast<std::size_t>(kind)] != 0; };
    if (rules(Field::mimeVersion) || rules(Field::contentType) || !isMessageHeader(part)) return;
    std::fill(part.ruling.begin() + static_cast<std::ptrdiff_t>(Field::contentType), part.ruling.end(),
              std::uint16_t{0});
  }

  /// Notes the field in [start, end) when the cache entry uses it.
  void addField(Part& part, std::size_t start, std::size_t end) {
    const std::size_t colon = findNear(data_, start, end, ':');
    if (colon == end) return;
    const auto [kind, cached] = fieldName(data_, {start, nameEnd(data_, start, colon)});
    if (kind != Field::other && wantsMore_ && tree_.fields.size() - part.firstField < maxFields &&
        (kind >= Field::contentType || isMessageHeader(part))) {
      const Span value = valueSpan(data_, colon, end);
      valueBytes_ += value.end - value.start;
      wantsMore_ = valueBytes_ <= maxValueBytes;
      if (wantsMore_) {
        tree_.fields.push_back({kind, value});
        part.ruling[static_cast<std::size_t>(kind)] = static_cast<std::uint16_t>(tree_.fields.size() - part.firstField);
      }
    }
    if (cached && part.parent == noPart && !tree_.cachedCut) {
      cachedBytes_ += end - start;
      tree_.cachedCut = cachedBytes_ > maxCachedBytes;
      if (!tree_.cachedCut) tree_.cached.push_back({start, end});
    }
  }

  void decide(Part& part, std::uint32_t index, bool blank) {
    dropUnlessMime(part);
    const HeaderField* type = rulingField(tree_, part, Field::contentType);
    if (type != nullptr) part.type = parseContentType(data_, type->value);
    part.isMessage = isMessage(part);
    const bool room = part.level + 1 < maxLevels;
    if (part.isMessage) {
      if (room && tree_.parts.size() < maxParts) {
        part.kind = Kind::message;
      } else {
        part.overflow = true;
      }
    } else if (part.type && is<"multipart">(data_, part.type->type)) {
      openMultipart(part, index, blank, room);
    }
  }

  void openMultipart(Part& part, std::uint32_t index, bool blank, bool room) {
    part.kind = Kind::multipart;
    if (!blank) return;
    Parameters& parameters = tree_.parameters;
    parseParameters(data_, part.type->rest, parameters);
    const auto boundary = std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& parameter) {
      return !parameter.consumed && !parameter.star && is<"boundary">(data_, parameter.name);
    });
    if (boundary == parameters.end()) return;
    if (!room) {
      part.kind = Kind::leaf;
      part.overflow = true;
      return;
    }
    const std::size_t start = tree_.boundaryBytes.size();
    appendValue(data_, parameters, static_cast<std::size_t>(boundary - parameters.begin()), tree_.boundaryBytes);
    tree_.open.push_back({index, {start, tree_.boundaryBytes.size()}});
  }

  /// message/rfc822 by its type, or by default in a multipart/digest (RFC 2046 5.1.5).
  [[nodiscard]] bool isMessage(const Part& part) const noexcept {
    if (part.type) {
      return is<"message">(data_, part.type->type) && is<"rfc822">(data_, part.type->subtype);
    }
    if (part.parent == noPart) return false;
    const Part& outer = tree_.parts[part.parent];
    return outer.kind == Kind::multipart && is<"digest">(data_, outer.type->subtype);
  }

  /// Reads the body up to the boundary line that ends it; the multipart that gets the next part, or noPart.
  std::uint32_t readBody(std::uint32_t first, std::size_t bodyStart) {
    std::uint32_t part = first;
    std::size_t start = bodyStart;
    for (;;) {
      const std::optional<Found> found = toBoundary();
      const std::size_t line = at_;
      const std::size_t end = found ? std::max(start, line - lineEndBefore(data_, line, 0)) : line;
      const std::uint64_t lines = lines_ - (end < line ? 1 : 0);
      const std::uint32_t owner = found ? tree_.open[found->level].part : noPart;
      while (part != owner) {
        Part& open = tree_.parts[part];
        open.bodyEnd = end;
        open.lines = lines - open.lines;
        part = open.parent;
      }
      if (!found) return noPart;
      const std::size_t left = found->level + (found->closing ? 0 : 1);
      if (left < tree_.open.size()) tree_.boundaryBytes.truncate(tree_.open[left].bytes.start);
      tree_.open.erase(tree_.open.begin() + static_cast<std::ptrdiff_t>(left), tree_.open.end());
      const std::size_t lf = findByte(data_, line, data_.size(), '\n');
      take(lf);
      if (!found->closing && lf < data_.size()) return owner;
      start = at_;
    }
  }

  /// Moves `at_` to the next boundary line of an open multipart, or to the end.
  std::optional<Found> toBoundary() {
    if (tree_.open.empty() || tree_.parts.size() >= maxParts) {
      lines_ = known_.lfs ? *known_.lfs : lines_ + countLfs(data_, at_, data_.size());
      at_ = data_.size();
      return std::nullopt;
    }
    while (at_ < data_.size()) {
      if (data_[at_] == '-') {
        const std::optional<Found> found = findBoundary(at_, findByte(data_, at_, data_.size(), '\n'));
        if (found) return found;
      }
      toDashLine();
    }
    return std::nullopt;
  }

  /// Moves `at_` to the next line that begins with two dashes, or to the end.
  void toDashLine() noexcept {
    if (!known_.dashLines || !known_.lfs) {
      at_ = findDashLine(data_, at_, data_.size(), lines_);
      return;
    }
    const std::span<const DashLine> dashLines = *known_.dashLines;
    while (dashLine_ < dashLines.size() && dashLines[dashLine_].at <= at_) dashLine_++;
    const bool none = dashLine_ == dashLines.size();
    at_ = none ? data_.size() : dashLines[dashLine_].at;
    lines_ = none ? *known_.lfs : dashLines[dashLine_].lfsBefore;
  }

  /// The open multipart whose boundary the line [line, lf) begins with (RFC 2046 5.1.1: what follows does not
  /// matter): the longest boundary that fits, of equal ones the innermost, but one that is the whole line, or all of it
  /// before `--`, at once.
  [[nodiscard]] std::optional<Found> findBoundary(std::size_t line, std::size_t lf) const noexcept {
    if (tree_.open.empty() || tree_.parts.size() >= maxParts || lf - line < 2 || data_[line + 1] != '-') {
      return std::nullopt;
    }
    const std::size_t start = line + 2;
    std::size_t end = lf;
    if (end > start && data_[end - 1] == '\r') end--;
    const std::size_t size = end - start;
    const bool dashes = size > 2 && data_[end - 1] == '-' && data_[end - 2] == '-';
    std::size_t level = tree_.open.size();
    std::size_t length = 0;
    for (std::size_t i = tree_.open.size(); i-- > 0;) {
      const Span bytes = tree_.open[i].bytes;
      const std::size_t wanted = bytes.end - bytes.start;
      if (level < tree_.open.size() && wanted <= length) continue;
      if (wanted > size || (wanted > 0 && std::memcmp(data_.data() + start,
                                                      tree_.boundaryBytes.view().data() + bytes.start, wanted) != 0)) {
        continue;
      }
      level = i;
      length = wanted;
      if (length == size || (dashes && length == size - 2)) break;
    }
    if (level == tree_.open.size()) return std::nullopt;
    const std::size_t rest = start + length;
    return Found{level, rest + 2 <= data_.size() && data_[rest] == '-' && data_[rest + 1] == '-'};
  }

  Bytes data_;
  const KnownLines& known_;
  MessageTree& tree_;
  std::size_t at_ = 0;
  /// LFs before `at_`.
  std::uint64_t lines_ = 0;
  /// Those before it are behind `at_`, in the list of those that are known.
  std::size_t dashLine_ = 0;
  std::size_t valueBytes_ = 0;
  std::size_t cachedBytes_ = 0;
  /// maxValueBytes is not reached.
  bool wantsMore_ = true;
};

}  // namespace

void parseTree(Bytes data, const KnownLines& known, MessageTree& tree) {
  tree.parts.clear();
  tree.fields.clear();
  tree.cached.clear();
  tree.cachedCut = false;
  tree.open.clear();
  tree.boundaryBytes.clear();
  TreeParser(data, known, tree).parse();
}

}  // namespace mailhaul::mime
