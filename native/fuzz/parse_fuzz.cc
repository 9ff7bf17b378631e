// libFuzzer target of the message parser: no input may crash it, read outside the message, or give an entry whose
// lengths do not add up.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined native/fuzz/parse_fuzz.cc native/src/mime/*.cc
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "../src/mime/crlf.h"
#include "../src/mime/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::span<const std::uint8_t> data(bytes, size);
  std::vector<std::uint8_t> crlf;
  mailhaul::mime::toCrlfForm(data, crlf);
  if (!mailhaul::mime::isCrlfForm(crlf)) std::abort();
  for (const std::span<const std::uint8_t> message : {data, std::span<const std::uint8_t>(crlf)}) {
    std::vector<std::uint8_t> entry;
    if (mailhaul::mime::parseMessage(message, entry) > message.size()) std::abort();
    std::size_t total = 16;
    for (std::size_t i = 0; i < 16; i++) total += static_cast<std::size_t>(entry[i]) << (8 * (i % 4));
    if (total != entry.size()) std::abort();
  }
  return 0;
}
