// What is found out of a whole message before it is parsed: whether it is in CRLF form, its digest, its lines.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "hash/xxh3.h"
#include "mime/parse.h"
#include "mime/scan.h"

namespace mailhaul::engine {

/// Kept by a thread from message to message, so that its memory is reused.
class Overview {
 public:
  /// False: an LF has no CR before it, and nothing else is known. Throws std::bad_alloc.
  [[nodiscard]] bool look(std::span<const std::uint8_t> content);

  [[nodiscard]] const hash::Digest& digest() const noexcept { return digest_; }
  /// Of what was looked at last; valid until the next look.
  [[nodiscard]] mime::KnownLines lines() const noexcept;

 private:
  [[nodiscard]] bool lookInBlocks(std::span<const std::uint8_t> content);

  hash::Digest digest_{};
  std::optional<std::uint64_t> lfs_;
  /// Of a large message; of another one it has not all dash lines.
  mime::LineSurvey survey_;
};

}  // namespace mailhaul::engine
