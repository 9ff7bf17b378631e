#include "sample.h"

#include <array>
#include <string_view>

namespace mailhaul::bench {
namespace {

constexpr std::size_t kLineBytes = 72;

/// splitmix64 (Steele, Lea, Flood 2014): unlike the distributions of <random> it is the same in every library.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  std::size_t below(std::size_t limit) noexcept { return static_cast<std::size_t>(next() % limit); }

  template <std::size_t N>
  std::string_view of(const std::array<std::string_view, N>& words) noexcept {
    return words[below(N)];
  }

 private:
  std::uint64_t state_;
};

constexpr std::array<std::string_view, 20> kWords{
    "the",   "meeting", "server", "about",  "tomorrow", "please", "report", "budget",    "--",       "we",
    "moved", "to",      "third",  "floor,", "regards,", "draft",  "will",   "attached.", "schedule", "a"};
constexpr std::array<std::string_view, 6> kPeople{"Ann Weber <ann@example.com>",
                                                  "\"Bob, Esq.\" <bob@mail.example.com>",
                                                  "carol@example.com (Carol Dune)",
                                                  "=?iso-8859-1?Q?J=FCrgen?= <j@e.de>",
                                                  "dave@example.org",
                                                  "Eve O'Neil <eve.oneil@sub.example.net>"};

std::string line(Random& random) {
  std::string text;
  while (text.size() < kLineBytes - 10) text.append(random.of(kWords)).push_back(' ');
  return text.append("\r\n");
}

std::string text(Random& random, std::size_t bytes) {
  std::string body;
  while (body.size() < bytes) body += line(random);
  return body;
}

std::string base64(Random& random, std::size_t bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string body;
  while (body.size() < bytes) {
    for (std::size_t i = 0; i < kLineBytes; ++i) body.push_back(alphabet[random.below(alphabet.size())]);
    body += "\r\n";
  }
  return body;
}

/// Trace, originator and identification fields (RFC 5322 3.6), without the ones that MIME adds.
std::string header(Random& random, std::string_view subject) {
  const std::string id = std::to_string(random.next());
  std::string out;
  for (int hop = 0; hop < 3; ++hop) {
    out.append("Received: from relay").append(std::to_string(hop)).append(".example.com (relay [10.0.0.7])\r\n");
    out.append("\tby mail.example.com (8.8.5/8.8.5) with SMTP id ").append(id).append("\r\n");
    out.append("\tfor <ann@example.com>; Tue, 3 Mar 1998 10:02:11 -0800 (PST)\r\n");
  }
  out.append("Message-ID: <").append(id).append("@mail.example.com>\r\nDate: Tue, 3 Mar 1998 10:02:07 -0800\r\n");
  out.append("From: ").append(random.of(kPeople)).append("\r\nTo: ").append(random.of(kPeople)).append(",\r\n\t");
  out.append(random.of(kPeople)).append("\r\nSubject: ").append(subject);
  out.append("\r\nReferences: <").append(id).append(".1@example.com> <").append(id).append(".2@example.com>\r\n");
  return out.append("X-Mailer: Mozilla 4.04 [en] (X11; I; SunOS 5.5.1 sun4u)\r\n");
}

}  // namespace

std::string plainMessage(std::uint64_t seed, std::size_t bytes) {
  Random random(seed);
  std::string message = header(random, "Schedule of the third floor");
  message +=
      "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n";
  return message += text(random, bytes > message.size() ? bytes - message.size() : 0);
}

std::string multipartMessage(std::uint64_t seed, std::size_t bytes) {
  Random random(seed);
  std::string message = header(random, "=?utf-8?B?R3LDvMOfZSBhdXMgTcO8bmNoZW4=?=\r\n =?utf-8?Q?_und_K=C3=B6ln?=");
  message +=
      "Cc: friends: ann@example.com (Ann), \"Q \\\"quoted\\\"\" <q@example.com>;, nobody:;\r\n"
      "In-Reply-To: <1998.2@example.com>\r\nMIME-Version: 1.0 (made by hand)\r\n"
      "Content-Type: multipart/mixed;\r\n boundary=\"----=_outer 01\"\r\n\r\nThis is a message in MIME format.\r\n"
      "------=_outer 01\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n"
      "--inner\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\n\r\n";
  message += text(random, bytes / 8);
  message += "--inner\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html>\r\n";
  message += text(random, bytes / 4);
  message += "--inner--\r\n------=_outer 01\r\nContent-Type: message/rfc822\r\n\r\n";
  message += plainMessage(random.next(), bytes / 4);
  message +=
      "\r\n------=_outer 01\r\nContent-Type: application/octet-stream;\r\n name*0*=us-ascii'en'a%20long%20;\r\n"
      " name*1=\"file name.doc\"\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <part4@example.com>\r\n"
      "Content-Disposition: attachment; filename=\"a long file name.doc\"\r\n\r\n";
  if (bytes > message.size()) message += base64(random, bytes - message.size());
  return message += "------=_outer 01--\r\n";
}

std::string withBareLf(const std::string& message) {
  std::string out;
  for (const char byte : message) {
    if (byte != '\r') out.push_back(byte);
  }
  return out;
}

}  // namespace mailhaul::bench
