// Gives one message its 4.x file: by a link of the very descriptor that was read, where that can be, else by a new
// file that shares its blocks (reflink) or holds what was read (copy) or its CRLF form (rewrite).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "engine/buffer.h"
#include "engine/single.h"
#include "engine/source.h"
#include "engine/target.h"
#include "engine/types.h"
#include "hash/xxh3.h"

namespace mailhaul::engine {

/// What is placed: an opened source and the bytes that its 4.x file has to hold.
struct Message {
  std::uint32_t uid = 0;
  Source* source = nullptr;
  std::span<const std::uint8_t> content;  ///< in CRLF form
  bool rewritten = false;                 ///< content is not what the source holds
  hash::Digest digest{};                  ///< of content
};

class Placer {
 public:
  Placer(const Folder& folder, Buffer& compare, WrittenInodes& written) noexcept;

  /// Makes `<nn>/<uid>.msg`; `method` says how. Throws std::bad_alloc.
  [[nodiscard]] Outcome place(const Message& message, Method& method);

  /// The same by a link alone, without `content`: `method` stays `failed` when that cannot be.
  [[nodiscard]] Outcome placeLink(const Message& message, Method& method);

  /// True when `outcome` is a lack of descriptors and some that only save time were closed: it is worth a retry.
  [[nodiscard]] bool freeDescriptors(const Outcome& outcome) noexcept;

  /// The 4.x file that an earlier attempt linked, opened as a source: for a message whose 3.x name is gone.
  [[nodiscard]] Outcome openEarlier(std::uint32_t uid, const Identity& record, Source& out);

 private:
  struct Spot {
    int dir = -1;
    const char* name = nullptr;
  };

  [[nodiscard]] Outcome placeOnce(const Message& message, Method& method);
  [[nodiscard]] bool mayLink(const Message& message) const noexcept;
  [[nodiscard]] Outcome place(const Message& message, const Spot& spot, Method& method);
  [[nodiscard]] Outcome adopt(const Message& message, const Spot& spot, bool& adopted);
  [[nodiscard]] Outcome adoptEqual(const Message& message, const Spot& spot, bool& adopted);
  [[nodiscard]] Outcome linkSource(const Message& message, const Spot& spot, Method& method);
  [[nodiscard]] bool canShare() noexcept;
  [[nodiscard]] Outcome make(const Message& message, const Spot& spot, Method& method);
  [[nodiscard]] Outcome fill(const Message& message, NewFile& file, Method& method);

  const Folder& folder_;
  Buffer& compare_;
  HashDirectories directories_;
  SingleCopies shared_;
  std::optional<bool> canShare_;  ///< once it was asked for
  bool canLink_ = true;           ///< no EXDEV so far
  bool canClone_ = true;          ///< FICLONE was not refused for good so far
};

}  // namespace mailhaul::engine
