#include "addresses.h"

#include "mailbox.h"

namespace mailhaul::mime {
namespace {

/// Which delimiters end the words: those of a list, those within angle brackets, or none.
enum class Stop { list, angle, none };

struct Words {
  /// Where it stopped: at a delimiter or the end.
  std::size_t at;
  /// Atoms and quoted strings read; 0 when a quoted string is never closed.
  std::size_t words;
  bool quoted;
};

bool isStop(std::uint8_t byte, Stop stop) noexcept {
  switch (byte) {
    case ',':
    case '<':
    case '@':
      return stop != Stop::none;
    case ':':
    case ';':
      return stop == Stop::list;
    case '>':
      return stop == Stop::angle;
    default:
      return false;
  }
}

/// Appends the content of the quoted string at `from` to `out`, which has room for it; returns the position after it,
/// past `end` when it is never closed.
std::size_t appendQuoted(Bytes data, std::size_t from, std::size_t end, Writer& out) {
  std::size_t at = from + 1;
  while (at < end) {
    if (data[at] == '"') return at + 1;
    if (data[at] == '\\' && at + 1 < end && !isLineEnd(data, at + 1, end)) {
      at++;
    } else if (isLineEnd(data, at, end)) {
      at++;
      continue;
    }
    out.put(data[at++]);
  }
  return end + 1;
}

/// Reads atoms and quoted strings into `out`, one space where white space or comments part them. In a local part no
/// space is left beside a dot (RFC 5322 4.4). A `>` where none can be is white space.
Words readWords(Bytes data, std::size_t from, std::size_t end, Stop stop, bool local, Writer& out) {
  out.clear();
  out.reserve(end - from);  // A space goes only where white space or a comment was.
  Words read{from, 0, false};
  bool inAtom = false;
  bool gap = false;
  std::size_t& at = read.at;
  while (at < end) {
    const std::uint8_t byte = data[at];
    if (isStop(byte, stop)) break;
    if (byte == '(') {
      at = skipComment(data, at, end);
      gap = true;
      inAtom = false;
    } else if (isFold(byte) || (byte == '>' && stop != Stop::angle)) {
      at++;
      gap = true;
      inAtom = false;
    } else {
      if (gap && out.size() > 0 && !(local && (byte == '.' || out.last() == '.'))) out.put(' ');
      gap = false;
      if (byte == '"') {
        at = appendQuoted(data, at, end, out);
        if (at > end) {
          out.clear();
          return {end, 0, read.quoted};
        }
        read.words++;
        read.quoted = true;
        inAtom = false;
      } else {
        do {
          out.put(data[at++]);
        } while (at < end && isAtom(data[at]));
        if (!inAtom) read.words++;
        inAtom = true;
      }
    }
  }
  return read;
}

/// The comment that opens at `start`, without its parentheses, backslashes and folds.
void appendComment(Bytes data, std::size_t start, std::size_t limit, Writer& out) {
  std::size_t depth = 0;
  for (std::size_t at = start; at < limit; at++) {
    if (data[at] == '(' && depth++ == 0) continue;
    if (data[at] == ')' && --depth == 0) return;
    if (isLineEnd(data, at, limit)) continue;
    if (data[at] == '\\' && at + 1 < limit && !isLineEnd(data, at + 1, limit)) at++;
    out.byte(data[at]);
  }
}

/// `[…]` with its brackets and backslashes, without folds; one that is never closed reaches to the end.
std::size_t appendLiteral(Bytes data, std::size_t from, std::size_t end, Writer& out) {
  for (std::size_t at = from; at < end; at++) {
    if (isLineEnd(data, at, end)) continue;
    out.byte(data[at]);
    if (data[at] == ']') return at + 1;
    if (data[at] == '\\' && at + 1 < end && !isLineEnd(data, at + 1, end)) out.byte(data[++at]);
  }
  return end;
}

constexpr std::size_t noComment = SIZE_MAX;

struct Domain {
  std::size_t at;
  /// Where the last comment behind the domain opens: `joe@example.com (Joe)` has his name there.
  std::size_t comment;
};

/// A domain after its `@`: atoms and dots, white space and comments around the dots dropped, or a literal in brackets.
Domain readDomain(Bytes data, std::size_t from, std::size_t end, Writer& out) {
  out.clear();
  out.reserve(end - from);
  Domain read{skipCfws(data, from, end), noComment};
  std::size_t& at = read.at;
  while (at < end) {
    const std::size_t begin = at;
    while (at < end && (isDomain(data[at]) || data[at] == '[')) {
      if (data[at] == '[') {
        at = appendLiteral(data, at, end, out);
      } else {
        out.put(data[at++]);
      }
    }
    if (at == begin) break;
    read.comment = noComment;
    while (at < end && (data[at] == '(' || isFold(data[at]))) {
      if (data[at] == '(') {
        read.comment = at;
        at = skipComment(data, at, end);
      } else {
        at++;
      }
    }
    if (at == end || (data[at] != '.' && out.last() != '.')) break;
  }
  return read;
}

/// Route without white space and comments: `@a,@b`.
void appendRoute(Bytes data, Span route, Writer& out) {
  for (std::size_t at = route.start; at < route.end;) {
    if (data[at] == '(') {
      at = skipComment(data, at, route.end);
    } else {
      if (!isFold(data[at])) out.byte(data[at]);
      at++;
    }
  }
}

void nameOrNil(Writer& out, const Writer& name) {
  if (name.size() == 0) {
    out.nil();
  } else {
    out.string(name);
  }
}

void writeAddress(Bytes data, Span route, Writer& out, AddressScratch& s) {
  out.byte('(');
  nameOrNil(out, s.name);
  out.byte(' ');
  if (route.end > route.start) {
    s.name.clear();
    appendRoute(data, route, s.name);
    out.string(s.name);
  } else {
    out.nil();
  }
  out.byte(' ');
  out.string(s.local);
  out.byte(' ');
  out.string(s.domain);
  out.byte(')');
}

/// `[@a,@b:]local@domain>`, after its `<`; the display name is in `s.name`. Returns the position after it.
std::size_t writeAngle(Bytes data, std::size_t from, std::size_t end, Writer& out, AddressScratch& s) {
  std::size_t at = skipCfws(data, from, end);
  Span route;
  if (at < end && data[at] == '@') {
    std::size_t stop = at;
    while (stop < end && data[stop] != ':' && data[stop] != '>' && data[stop] != '<') stop++;
    if (stop < end && data[stop] == ':') {
      route = {at, stop};
      at = stop + 1;
    }
  }
  at = readWords(data, at, end, Stop::angle, true, s.local).at;
  s.domain.clear();
  if (at < end && data[at] == '@') at = readDomain(data, at + 1, end, s.domain).at;
  writeAddress(data, route, out, s);
  for (; at < end; at++) {
    const std::uint8_t byte = data[at];
    if (byte == '>') return at + 1;
    if (byte == ',' || byte == ';' || byte == '<') return at;
  }
  return at;
}

/// A phrase without an address: one atom is taken for a mailbox, anything else for a name.
void writeBare(Writer& out, const AddressScratch& s, const Words& phrase) {
  if (phrase.words == 1 && !phrase.quoted) {
    out.ascii("(NIL NIL ");
    out.string(s.name);
    out.ascii(" \"\")");
  } else {
    out.byte('(');
    nameOrNil(out, s.name);
    out.ascii(" NIL \"\" \"\")");
  }
}

constexpr std::string_view groupEnd = "(NIL NIL NIL NIL)";

}  // namespace

std::size_t writeAddresses(Bytes data, Span value, std::size_t count, Writer& out, AddressScratch& s) {
  const std::size_t end = findByte(data, value.start, value.end, '\0');  // A NUL ends the list, in both servers.
  bool inGroup = false;
  // Right behind an address, without a comma: words that make no address there are not shown.
  bool behind = false;
  std::size_t at = value.start;
  while (at < end && count < maxAddresses) {
    if (data[at] == ',' || isFold(data[at])) {
      behind = behind && data[at] != ',';
      at++;
      continue;
    }
    const std::size_t from = at;
    if (at = writeMailbox(data, from, end, out); at != from) {
      count++;
      behind = true;
      continue;
    }
    const Words phrase = readWords(data, from, end, Stop::list, false, s.name);
    at = phrase.at;
    const std::uint8_t delimiter = at < end ? data[at] : std::uint8_t{','};
    at++;
    if (delimiter == ':') {
      if (inGroup) {
        out.ascii(groupEnd);
        count++;
      }
      out.ascii("(NIL NIL ");
      out.string(s.name);
      out.ascii(" NIL)");
      inGroup = true;
      behind = false;
      count++;
    } else if (delimiter == '@') {
      readWords(data, from, at - 1, Stop::none, true, s.local);
      const Domain domain = readDomain(data, at, end, s.domain);
      at = domain.at;
      if (at < end && data[at] == '<') {
        // An address as the display name of another: the address in the angle brackets rules.
        readWords(data, from, at, Stop::none, false, s.name);
        at = writeAngle(data, at + 1, end, out, s);
      } else {
        s.name.clear();
        if (domain.comment != noComment) appendComment(data, domain.comment, domain.at, s.name);
        writeAddress(data, {}, out, s);
        if (at < end && data[at] == '"') {
          at = end;  // A quoted string right behind it ends the list, in both servers.
        }
      }
      count++;
      behind = true;
    } else if (delimiter == '<') {
      at = writeAngle(data, at, end, out, s);
      count++;
      behind = true;
    } else {
      if (phrase.words > 0 && !behind) {
        writeBare(out, s, phrase);
        count++;
      }
      behind = false;
      if (delimiter == ';' && inGroup) {
        out.ascii(groupEnd);
        inGroup = false;
        count++;
      }
    }
  }
  if (inGroup) {
    out.ascii(groupEnd);
    count++;
  }
  return count;
}

}  // namespace mailhaul::mime
