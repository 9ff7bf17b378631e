// Runs the message parser alone, for the comparison with the TypeScript one and under sanitizers.
//
//   parse_cli < messages > entries        message: u32 length, bytes
//                                         entry:   u32 length, u64 header bytes, entry bytes, u32 length, CRLF form
//   parse_cli bench <rounds> < messages   nanoseconds of processor time a message
//
// Numbers are little-endian. Exit code 1 when the input is cut.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string_view>
#include <vector>

#include "../src/mime/crlf.h"
#include "../src/mime/parse.h"

namespace {

using Message = std::vector<std::uint8_t>;

bool readAll(void* to, std::size_t bytes) { return std::fread(to, 1, bytes, stdin) == bytes; }

void writeNumber(std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i++) std::fputc(static_cast<int>((value >> (8 * i)) & 0xffU), stdout);
}

void writeSized(const Message& data) {
  if (!data.empty()) std::fwrite(data.data(), 1, data.size(), stdout);
}

/// Reads the next message; false at the end. A cut message ends the program.
bool readMessage(Message& message) {
  std::uint8_t size[4];
  if (!readAll(size, sizeof size)) return false;
  std::size_t length = 0;
  for (std::size_t i = 0; i < sizeof size; i++) length |= static_cast<std::size_t>(size[i]) << (8 * i);
  message.resize(length);
  if (length > 0 && !readAll(message.data(), length)) std::exit(1);
  return true;
}

/// Processor time of this process in nanoseconds.
double spentTime() {
  std::timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

int bench(long rounds) {
  std::vector<Message> messages;
  for (Message message; readMessage(message);) messages.push_back(message);
  std::vector<std::uint8_t> cache;
  std::size_t bytes = 0;
  const double start = spentTime();
  for (long round = 0; round < rounds; round++) {
    cache.clear();
    for (const Message& message : messages) {
      mailhaul::mime::parseMessage(message, cache);
      bytes += message.size();
    }
  }
  const double spent = spentTime() - start;
  const double count = static_cast<double>(messages.size()) * static_cast<double>(rounds);
  std::printf("%.0f ns a message of %.0f bytes, %.2f GB/s, entry %.0f bytes\n", spent / count,
              static_cast<double>(bytes) / count, static_cast<double>(bytes) / spent,
              static_cast<double>(cache.size()) / static_cast<double>(messages.size()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "bench") return bench(std::strtol(argv[2], nullptr, 10));
  std::vector<std::uint8_t> cache;
  std::vector<std::uint8_t> crlf;
  for (Message message; readMessage(message);) {
    // A heap block of the exact size, so that a sanitizer sees every read past the end.
    const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[message.size()]);
    if (!message.empty()) std::memcpy(exact.get(), message.data(), message.size());
    const std::span<const std::uint8_t> data(exact.get(), message.size());
    cache.clear();
    const std::uint64_t headerBytes = mailhaul::mime::parseMessage(data, cache);
    writeNumber(cache.size(), 4);
    writeNumber(headerBytes, 8);
    writeSized(cache);
    mailhaul::mime::toCrlfForm(data, crlf);
    if (mailhaul::mime::isCrlfForm(data) != (crlf.size() == data.size())) return 2;
    writeNumber(crlf.size(), 4);
    writeSized(crlf);
  }
  return 0;
}
