#include "mutate.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t room);

namespace mailhaul::fuzz {
namespace {

constexpr std::string_view kFields[] = {
    "Date",
    "Subject",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "In-Reply-To",
    "Message-ID",
    "References",
    "List-Id",
    "X-Priority",
    "MIME-Version",
    "Content-Type",
    "Content-ID",
    "Content-MD5",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-Description",
    "Content-Language",
    "Content-Location",
    "Received",
    "X",
};
constexpr std::string_view kValues[] = {
    "a@b",
    "A B <a@b>",
    "\"q\\\"q\" <@r,@s:a@b>",
    "g: a@b, c@d;, <e@f>",
    "undisclosed-recipients:;",
    "a@[1.2.3.4] (c (d) \\) e)",
    "=?utf-8?B?w6k=?= =?x?q?_=20?=",
    "text/plain; charset=utf-8; format=flowed",
    "text/html; name*0*=utf-8'en'%20a; name*1=b; name*2*=%zz",
    "multipart/mixed; boundary=b",
    "multipart/digest; boundary=\"b c\"",
    "multipart/x; boundary=\"\"",
    "multipart/alternative; boundary*0=b; boundary*1=c",
    "message/rfc822",
    "message/partial; id=1; number=1",
    "attachment; filename=\"a\\\\b\"; size=1",
    "; a=b",
    "base64",
    "8bit x",
    "en, de-AT,, fr",
    "<i@j> <k@l>",
    "(only (comment",
    "\"never closed",
    "",
};
constexpr std::string_view kTokens[] = {
    "\r\n", "\n", "\r\n\r\n", "\r\n ",    "\r\n\t", "\r", "\0", "(",         ")",    "\"",  "\\",
    "<",    ">",  "@",        ":",        ";",      ",",  ".",  "=",         "*0*=", "*1=", "''",
    "%2",   "--", "\r\n--",   "\xC3\xA9", "\xFF",   "[",  "]",  "=?u?q?x?=", " ",    "NIL", "{3}\r\n",
};

class Mutator {
 public:
  Mutator(std::string message, unsigned seed) : text_(std::move(message)), random_(seed) {}

  std::string run() {
    for (std::size_t changes = 1 + below(4); changes > 0; changes--) change();
    return std::move(text_);
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }
  template <typename T, std::size_t N>
  T pick(const T (&items)[N]) {
    return items[below(N)];
  }

  void change() {
    switch (below(13)) {
      case 0:
        return insert(lineStart(), field());
      case 1:
        return insert(lineStart(), boundaryLine());
      case 2:
        return wrapMultipart();
      case 3:
        return insert(lineStart(), "Content-Type: message/rfc822" + end() + end());
      case 4:
        return repeatPart();
      case 5:
        return insert(below(text_.size() + 1), std::string(pick(kTokens)));
      case 6:
        return fold();
      case 7:
        return otherLineEnd();
      case 8:
        return sectionParameter();
      case 9:
        return insert(valueStart(), std::string(pick(kValues)));
      case 10:
        return removeLine();
      case 11:
        return cut();
      default:
        return repeatLine();
    }
  }

  void insert(std::size_t at, const std::string& what) { text_.insert(std::min(at, text_.size()), what); }
  std::string end() { return below(8) == 0 ? "\n" : "\r\n"; }
  std::string field() { return std::string(pick(kFields)) + ": " + std::string(pick(kValues)) + end(); }

  /// Where some line begins.
  std::size_t lineStart() {
    const std::size_t lf = text_.find('\n', below(text_.size() + 1));
    return lf == std::string::npos ? 0 : lf + 1;
  }
  std::size_t lineEnd(std::size_t start) const {
    const std::size_t lf = text_.find('\n', start);
    return lf == std::string::npos ? text_.size() : lf + 1;
  }
  /// Behind some colon, where a value begins.
  std::size_t valueStart() {
    const std::size_t colon = text_.find(':', below(text_.size() + 1));
    return colon == std::string::npos ? text_.size() : colon + 1;
  }

  /// A boundary that the message declares, or a made-up one.
  std::string boundary() {
    std::vector<std::string> found;
    for (std::size_t at = text_.find("oundary="); at != std::string::npos; at = text_.find("oundary=", at + 1)) {
      std::size_t start = at + 8;
      const bool quoted = start < text_.size() && text_[start] == '"';
      if (quoted) start++;
      const std::size_t stop = text_.find_first_of(quoted ? "\"\r\n" : " ;\r\n", start);
      found.push_back(text_.substr(start, std::min<std::size_t>(stop - start, 70)));
    }
    return found.empty() ? "b" : found[below(found.size())];
  }
  std::string boundaryLine() {
    static constexpr std::string_view kTails[] = {"", "", "", "--", "-", "x", " ", "--x", "\r"};
    return "--" + boundary() + std::string(pick(kTails)) + end();
  }

  void wrapMultipart() {
    const std::size_t at = lineStart();
    const std::string name(1 + below(3), static_cast<char>('a' + below(3)));
    const std::size_t stop = std::max(at, lineStart());
    insert(stop, end() + "--" + name + "--" + end());
    insert(at, "Content-Type: multipart/" + std::string(below(3) == 0 ? "digest" : "mixed") + "; boundary=" + name +
                   end() + end() + "--" + name + end() + (below(2) == 0 ? end() : ""));
  }

  void repeatPart() {
    const std::string line = "--" + boundary();
    const std::size_t first = text_.find(line, below(text_.size() + 1));
    if (first == std::string::npos) return;
    const std::size_t second = text_.find(line, first + line.size());
    if (second == std::string::npos) return;
    insert(lineStart(), text_.substr(first, second - first));
  }

  void fold() {
    const std::size_t blank = text_.find(' ', below(text_.size() + 1));
    if (blank != std::string::npos) insert(blank, end());
  }

  void otherLineEnd() {
    const std::size_t lf = text_.find('\n', below(text_.size() + 1));
    if (lf == std::string::npos) return;
    if (lf > 0 && text_[lf - 1] == '\r') {
      text_.erase(lf - 1, 1);
    } else {
      text_.insert(lf, 1, '\r');
    }
  }

  /// `name=` becomes `name*<n>=` or `name*<n>*=` (RFC 2231 3).
  void sectionParameter() {
    const std::size_t equals = text_.find('=', below(text_.size() + 1));
    if (equals == std::string::npos) return;
    text_.insert(equals, "*" + std::to_string(below(3)) + (below(2) == 0 ? "*" : ""));
  }

  /// Ends the message where ends are looked at: in or behind a boundary, or in a line end.
  void cut() {
    const std::string wanted = below(2) == 0 ? "--" + boundary() : "\r\n";
    const std::size_t at = text_.find(wanted, below(text_.size() + 1));
    if (at != std::string::npos) text_.resize(std::min(text_.size(), at + wanted.size() - below(2) + below(3)));
  }

  void removeLine() {
    const std::size_t at = lineStart();
    text_.erase(at, lineEnd(at) - at);
  }
  void repeatLine() {
    const std::size_t at = lineStart();
    insert(lineStart(), text_.substr(at, lineEnd(at) - at));
  }

  std::string text_;
  std::minstd_rand random_;
};

}  // namespace

std::size_t mutateMessage(std::uint8_t* data, std::size_t size, std::size_t room, unsigned seed) {
  if (seed % 2 == 0) return LLVMFuzzerMutate(data, size, room);
  const std::string changed = Mutator({reinterpret_cast<const char*>(data), size}, seed / 2 + 1).run();
  const std::size_t length = std::min(changed.size(), room);
  std::memcpy(data, changed.data(), length);
  return length;
}

}  // namespace mailhaul::fuzz
