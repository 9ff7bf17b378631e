// What the short ways of the parser must not get wrong: each gives what the general one gives.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mime/addresses.h"
#include "mime/lines.h"
#include "mime/mailbox.h"
#include "mime/names.h"
#include "mime/parse.h"
#include "sys/processor.h"
#include "test.h"

using mailhaul::mime::Bytes;
using mailhaul::mime::Writer;
using mailhaul::sys::Vectors;

namespace {

Bytes bytesOf(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

std::string textOf(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

/// The list, alone or with more of the message behind it.
std::string listOf(const std::string& list, const std::string& behind) {
  const std::string message = list + behind;
  Writer out;
  mailhaul::mime::AddressScratch scratch;
  static_cast<void>(mailhaul::mime::writeAddresses(bytesOf(message), {0, list.size()}, 0, out, scratch));
  return textOf(out.view());
}

}  // namespace

TEST(ANameIsComparedWithoutCase) {
  using mailhaul::mime::is;
  CHECK(is<"in-reply-to">(bytesOf("In-Reply-TO").data()));
  CHECK(is<"bcc">(bytesOf("BCc").data()) && is<"list-">(bytesOf("LIST-Id").data()));
  // Of a letter only the case does not count: a CR is no dash, `[` no brace.
  CHECK(!is<"in-reply-to">(bytesOf("In\rReply-To").data()));
  CHECK(!is<"in-reply-to">(bytesOf("In-Reply-Tp").data()));
  CHECK(!is<"bcc">(bytesOf("bbc").data()));
}

TEST(ALineEndIsFoundAtEveryOffset) {
  for (std::size_t at = 0; at < 200; ++at) {
    std::string text(200, 'x');
    text[at] = '\n';
    text.back() = '\n';
    mailhaul::mime::LineEnds ends(bytesOf(text), 0);
    CHECK_EQ(ends.next(), at);
    if (at < 199) CHECK_EQ(ends.next(), std::size_t{199});
    CHECK_EQ(ends.next(), text.size());
    CHECK_EQ(mailhaul::mime::findNear(bytesOf(text), 0, at + 1, '\n'), at);
    CHECK_EQ(mailhaul::mime::findNear(bytesOf(text), 0, at, '\n'), at);
  }
}

TEST(ACommonAddressIsTheSameWhereNoBlockCanBeRead) {
  // Behind the list there is nothing: the long way is taken.
  for (const std::string list :
       {"Ann Weber <ann@e.com>", "\"Weber, Ann\" <a@b.c>, x@y.z", "a@b.c (Ann)", "<a@b>", "a_b@c_d.e; x", "A  B <c@d>",
        "\"a\\\"b\" <c@d>", "a@b (c (d)), e", "Ann <@r:ann@b.c>", "a@b.c <d@e.f>", "J\xfcrgen <j@e>", "g: a@b, c@d;"}) {
    const std::string expected = listOf(list, "");
    for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
      mailhaul::sys::useVectors(limit);
      CHECK_EQ(listOf(list, std::string(100, ',')), expected);
    }
    mailhaul::sys::useVectors(Vectors::avx2);
  }
}

TEST(OnlyACommonAddressIsWrittenTheShortWay) {
  const std::string behind(100, ',');
  const auto taken = [&](const std::string& list) {
    Writer out;
    const std::string message = list + behind;
    const std::size_t end = mailhaul::mime::writeMailbox(bytesOf(message), 0, list.size(), out);
    CHECK((end > 0) == (out.size() > 0));
    return end;
  };
  CHECK_EQ(taken("Ann Weber <ann@e.com>, b"), std::size_t{21});
  CHECK_EQ(taken("\"Weber, Ann\" <a@b.c>"), std::size_t{20});
  CHECK_EQ(taken("a@b.c (Ann), d"), std::size_t{11});
  for (const std::string other :
       {"Ann", "a@b.c \"x\"", "\"a\\b\" <c@d>", "A\t<b@c>", "a@[1.2.3.4]", "J\xfcrgen <j@e>"}) {
    CHECK_EQ(taken(other), std::size_t{0});
  }
}

TEST(LfsThatWereCountedGiveTheSameEntry) {
  const std::string message = "From: a@b\r\n\r\none\r\ntwo\r\n";
  std::vector<std::uint8_t> counted;
  std::vector<std::uint8_t> given;
  mailhaul::mime::parseMessage(bytesOf(message), counted);
  mailhaul::mime::parseMessage(bytesOf(message), given, {4, {}});
  CHECK(counted == given);
}
