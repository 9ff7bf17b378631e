#include "crlf.h"

#include <algorithm>
#include <cstring>

#include "sys/processor.h"

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

/// Blocks are looked at whole, so that the compiler compares many bytes at once; a file in CRLF form, the common
/// case, is read once without a branch per line.
constexpr std::size_t kBlockBytes = 4096;

/// An LF without a CR before it in [from, end); `from` is at least 1.
inline __attribute__((always_inline)) bool blockHasBareLf(const std::uint8_t* data, std::size_t from,
                                                          std::size_t end) noexcept {
  std::uint8_t bare = 0;
  for (std::size_t at = from; at < end; ++at) {
    bare |= static_cast<std::uint8_t>((data[at] == '\n') & (data[at - 1] != '\r'));
  }
  return bare != 0;
}

using HasBareLf = bool (*)(const std::uint8_t*, std::size_t, std::size_t) noexcept;

bool hasBareLf(const std::uint8_t* data, std::size_t from, std::size_t end) noexcept {
  return blockHasBareLf(data, from, end);
}

#if defined(__x86_64__)
/// The same code for processors with wider registers.
__attribute__((target("avx2"))) bool hasBareLfAvx2(const std::uint8_t* data, std::size_t from,
                                                   std::size_t end) noexcept {
  return blockHasBareLf(data, from, end);
}
#endif

HasBareLf chooseHasBareLf() noexcept {
#if defined(__x86_64__)
  if (sys::vectors() == sys::Vectors::avx2) return hasBareLfAvx2;
#endif
  return hasBareLf;
}

}  // namespace

bool isCrlfForm(std::span<const std::uint8_t> data) noexcept {
  if (data.empty()) return true;
  if (data[0] == '\n') return false;
  const HasBareLf search = chooseHasBareLf();
  for (std::size_t from = 1; from < data.size(); from += kBlockBytes) {
    if (search(data.data(), from, std::min(data.size(), from + kBlockBytes))) return false;
  }
  return true;
}

std::size_t crlfBytes(std::span<const std::uint8_t> data) noexcept {
  std::size_t bytes = data.size();
  for (std::size_t lf = nextLf(data, 0); lf < data.size(); lf = nextLf(data, lf + 1)) bytes += isBare(data, lf) ? 1 : 0;
  return bytes;
}

void toCrlfForm(std::span<const std::uint8_t> data, std::vector<std::uint8_t>& out) {
  out.clear();
  // The exact size: growing step by step, a giant message would need its memory three times over.
  out.reserve(crlfBytes(data));
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
