#include "crlf.h"

#include <algorithm>
#include <cstring>

#include "scan.h"

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

std::optional<std::uint64_t> lfsOfCrlfForm(std::span<const std::uint8_t> data) noexcept {
  // A giant message with bare LF is not read to its end for that.
  constexpr std::size_t piece = std::size_t{64} << 10;
  if (data.empty()) return 0;
  if (data[0] == '\n') return std::nullopt;
  std::uint64_t lfs = 0;
  for (std::size_t from = 1; from < data.size(); from += piece) {
    const LineEndCounts counts = countLineEnds(data, from, std::min(data.size(), from + piece));
    if (counts.bare > 0) return std::nullopt;
    lfs += counts.lfs;
  }
  return lfs;
}

std::size_t crlfBytes(std::span<const std::uint8_t> data) noexcept {
  if (data.empty()) return 0;
  return data.size() + (data[0] == '\n' ? 1 : 0) + countLineEnds(data, 1, data.size()).bare;
}

void toCrlfForm(std::span<const std::uint8_t> data, std::vector<std::uint8_t>& out) {
  // The exact size: growing step by step, a giant message would need its memory three times over.
  out.resize(crlfBytes(data));
  // A mapped file may have more bare LFs by now than were counted, or fewer: whoever changes it must not choose what is
  // written behind `out`. That the content is not what it was is for others to see.
  std::size_t room = out.size() - data.size();
  std::uint8_t* to = out.data();
  std::size_t copied = 0;
  const auto copy = [&](std::size_t end) {
    if (end > copied) std::memcpy(to, data.data() + copied, end - copied);
    to += end - copied;
    copied = end;
  };
  for (std::size_t lf = nextLf(data, 0); lf < data.size(); lf = nextLf(data, lf + 1)) {
    if (!isBare(data, lf)) continue;
    if (room == 0) break;
    --room;
    copy(lf);
    *to++ = '\r';
  }
  copy(data.size());
  out.resize(static_cast<std::size_t>(to - out.data()));
}

}  // namespace mailhaul::mime
