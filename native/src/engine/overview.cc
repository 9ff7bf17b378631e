#include "engine/overview.h"

#include <algorithm>

#include "mime/crlf.h"

namespace mailhaul::engine {
namespace {

/// Smaller messages stay in the processor's own cache from one pass to the next.
constexpr std::size_t kInBlocksFrom = std::size_t{256} << 10;
constexpr std::size_t kBlockBytes = std::size_t{4} << 10;
constexpr std::size_t kCacheLine = 64;

void prefetch(std::span<const std::uint8_t> bytes) noexcept {
  for (std::size_t at = 0; at < bytes.size(); at += kCacheLine) __builtin_prefetch(bytes.data() + at);
}

}  // namespace

bool Overview::look(std::span<const std::uint8_t> content) {
  if (content.size() >= kInBlocksFrom) return lookInBlocks(content);
  survey_.hasAllDashLines = false;
  lfs_ = mime::lfsOfCrlfForm(content);
  if (lfs_) digest_ = hash::digest(content);
  return lfs_.has_value();
}

/// A large message comes from memory once: each block is looked at and digested while the next one is on its way.
bool Overview::lookInBlocks(std::span<const std::uint8_t> content) {
  if (content[0] == '\n') return false;
  survey_.counts = {};
  survey_.dashLines.clear();
  survey_.hasAllDashLines = true;
  hash::Stream stream;
  for (std::size_t from = 0; from < content.size(); from += kBlockBytes) {
    const std::size_t end = std::min(content.size(), from + kBlockBytes);
    prefetch(content.subspan(end, std::min(content.size() - end, kBlockBytes)));
    mime::surveyLines(content, std::max<std::size_t>(from, 1), end, survey_);
    if (survey_.counts.bare > 0) return false;
    stream.add(content.subspan(from, end - from));
  }
  lfs_ = survey_.counts.lfs;
  digest_ = stream.digest();
  return true;
}

mime::KnownLines Overview::lines() const noexcept {
  mime::KnownLines known{lfs_, {}};
  if (survey_.hasAllDashLines) known.dashLines = survey_.dashLines;
  return known;
}

}  // namespace mailhaul::engine
