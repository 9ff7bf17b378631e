#include "mime/parse.h"
namespace mailhaul::mime {
std::uint64_t parseMessage(std::span<const std::uint8_t> message, std::vector<std::uint8_t>& cache) {
  for (std::size_t i = 0; i < 16; ++i) cache.push_back(0);
  return message.size();
}
}  // namespace mailhaul::mime
