// The digest and the checks are those of XXH3, with and without vector instructions.
#include "hash/xxh3.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "sys/processor.h"
#include "test.h"

using mailhaul::sys::Vectors;

namespace {

std::vector<std::uint8_t> bytes(std::size_t count) {
  std::vector<std::uint8_t> data(count);
  for (std::size_t i = 0; i < count; ++i) data[i] = static_cast<std::uint8_t>(i * 7 + i / 13);
  return data;
}

std::string digestOf(std::size_t count) {
  std::string text;
  for (const std::uint8_t byte : mailhaul::hash::digest(bytes(count))) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", unsigned{byte});
    text += hex.data();
  }
  return text;
}

}  // namespace

// What hash-wasm, the other implementation of this project, gives for the same bytes.
TEST(DigestsAreThoseOfXxh3) {
  for (const Vectors limit : {Vectors::none, Vectors::avx2}) {
    mailhaul::sys::useVectors(limit);
    CHECK_EQ(digestOf(0), "99aa06d3014798d86001c324468d497f");
    CHECK_EQ(digestOf(241), "0913edbfea45a8ec26e9e1d1ee797db1");
    CHECK_EQ(digestOf(8192), "14880ba1a007e25c0835669b0839fee4");
    CHECK_EQ(mailhaul::hash::check64(bytes(8192)), 0x0835669b0839fee4U);
  }
}

TEST(EveryLengthGivesTheSameWithAndWithoutVectors) {
  for (std::size_t count = 0; count < 2100; ++count) {
    const std::vector<std::uint8_t> data = bytes(count);
    mailhaul::sys::useVectors(Vectors::none);
    const mailhaul::hash::Digest digest = mailhaul::hash::digest(data);
    const std::uint64_t check = mailhaul::hash::check64(data);
    mailhaul::sys::useVectors(Vectors::avx2);
    CHECK(mailhaul::hash::digest(data) == digest);
    CHECK_EQ(mailhaul::hash::check64(data), check);
  }
}
