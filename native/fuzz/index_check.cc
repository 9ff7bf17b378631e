#include "index_check.h"

#include <array>
#include <cstring>

#include "check.h"
#include "hash/xxh3.h"

namespace mailhaul::fuzz {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kHeader = 256;
constexpr std::size_t kRecord = 80;

std::uint64_t number(Bytes data, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; i++) value |= static_cast<std::uint64_t>(data[at + i]) << (8 * i);
  return value;
}

void requireZeros(Bytes data, const char* promise) {
  for (const std::uint8_t byte : data) require(byte == 0, promise);
}

}  // namespace

std::uint32_t checkIndex(Bytes file) {
  static constexpr std::array<std::uint8_t, 8> magic{0x89, 'N', 'S', 'I', 'D', 'X', '\r', '\n'};
  require(file.size() >= kHeader && std::memcmp(file.data(), magic.data(), magic.size()) == 0, "an index has a header");
  require(number(file, 8, 4) == 1 && number(file, 12, 4) == kHeader && number(file, 36, 4) == kRecord, "version 1");
  require(number(file, 16, 8) == file.size(), "the header knows the size of the file");
  require(number(file, 248, 8) == hash::check64(file.first(248)), "the header fits its check");
  requireZeros(file.subspan(84, 4), "what version 1 does not use is zero");
  requireZeros(file.subspan(208, 40), "what version 1 does not use is zero");

  std::array<Bytes, 5> sections;
  std::size_t end = kHeader;
  for (std::size_t i = 0; i < sections.size(); i++) {
    const std::size_t at = 88 + 24 * i;
    const std::size_t offset = number(file, at, 8);
    const std::size_t bytes = number(file, at + 8, 8);
    require(offset == (end + 7) / 8 * 8 && offset <= file.size() && bytes <= file.size() - offset,
            "sections follow one another");
    requireZeros(file.subspan(end, offset - end), "gaps are zero");
    sections[i] = file.subspan(offset, bytes);
    require(number(file, at + 16, 8) == (i == 0 ? 0 : hash::check64(sections[i])), "a section fits its check");
    end = offset + bytes;
  }
  require(end == file.size(), "the last section ends the file");

  const Bytes records = sections[1];
  const auto messages = static_cast<std::uint32_t>(number(file, 32, 4));
  require(records.size() == std::size_t{messages} * kRecord, "a record a message");
  std::uint64_t cache = 0;
  std::uint64_t keywords = 0;
  std::uint64_t used = 0;
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < messages; i++) {
    const Bytes record = records.subspan(i * kRecord, kRecord);
    require(number(record, 0, 4) > last, "uids ascend");
    last = number(record, 0, 4);
    used += number(record, 16, 8);
    require(number(record, 24, 8) <= number(record, 16, 8), "a header is a part of its message");
    require(number(record, 48, 8) == cache, "cache entries are back to back");
    const std::size_t bytes = number(record, 56, 4);
    require(bytes <= sections[0].size() - cache, "a cache entry lies in the cache");
    require(number(record, 60, 4) == hash::check32(sections[0].subspan(cache, bytes)), "a cache entry fits its check");
    cache += bytes;
    require(number(record, 64, 4) == keywords, "keyword references are back to back");
    keywords += number(record, 68, 4);
    requireZeros(record.subspan(72), "what version 1 does not use is zero");
  }
  require(cache == sections[0].size() && keywords * 4 == sections[2].size(), "nothing is left over");
  require(number(file, 64, 8) == used, "bytes used is the sum of the sizes");
  return messages;
}

}  // namespace mailhaul::fuzz
