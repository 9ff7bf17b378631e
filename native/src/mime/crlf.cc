#include "crlf.h"

#include <cstring>

namespace mailhaul::mime {
namespace {

/// Offset of the next LF at or after `from`, or the size.
std::size_t nextLf(std::span<const std::uint8_t> data, std::size_t from) noexcept {
  if (from >= data.size()) return data.size();
  const void* found = std::memchr(data.data() + from, '\n', data.size() - from);
  return found == nullptr ? data.size()
                          : static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - data.data());
}

bool isBare(std::span<const std::uint8_t> data, std::size_t lf) noexcept { return lf == 0 || data[lf - 1] != '\r'; }

}  // namespace

bool isCrlfForm(std::span<const std::uint8_t> data) noexcept {
  for (std::size_t lf = nextLf(data, 0); lf < data.size(); lf = nextLf(data, lf + 1)) {
    if (isBare(data, lf)) return false;
  }
  return true;
}

void toCrlfForm(std::span<const std::uint8_t> data, std::vector<std::uint8_t>& out) {
  out.clear();
  out.reserve(data.size() + data.size() / 32 + 16);
  std::size_t copied = 0;
  for (std::size_t lf = nextLf(data, 0); lf < data.size(); lf = nextLf(data, lf + 1)) {
    if (!isBare(data, lf)) continue;
    out.insert(out.end(), data.begin() + static_cast<std::ptrdiff_t>(copied),
               data.begin() + static_cast<std::ptrdiff_t>(lf));
    out.push_back('\r');
    copied = lf;
  }
  out.insert(out.end(), data.begin() + static_cast<std::ptrdiff_t>(copied), data.end());
}

}  // namespace mailhaul::mime
