// The MIME tree of a message: one forward pass (RFC 2045, RFC 2046). The twin of src/engine/message/structure.ts,
// which draws a part and gives the rules.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "bytes.h"
#include "header.h"
#include "parameters.h"
#include "scan.h"
#include "writer.h"

namespace mailhaul::mime {

/// Levels of parts, the message itself counts as one; a part that would go deeper is a leaf.
inline constexpr std::size_t maxLevels = 100;
/// Parts of a message; after the last one no boundary is looked for.
inline constexpr std::size_t maxParts = 10000;
/// Fields of a part that ENVELOPE and BODYSTRUCTURE look at.
inline constexpr std::size_t maxFields = 1000;
static_assert(maxFields <= UINT16_MAX, "Part::ruling");
/// Bytes of all values of a message that ENVELOPE and BODYSTRUCTURE look at; the first field past them ends it.
inline constexpr std::size_t maxValueBytes = std::size_t{16} << 20U;
/// Bytes of `fields` in the cache entry.
inline constexpr std::size_t maxCachedBytes = 65536;

enum class Kind : std::uint8_t { leaf, multipart, message };

inline constexpr std::uint32_t noPart = UINT32_MAX;

/// A part; parts lie in pre-order, so the first child of a part follows it.
struct Part {
  std::uint32_t parent = noPart;
  std::uint32_t nextSibling = noPart;
  std::uint32_t lastChild = noPart;
  std::uint32_t children = 0;
  std::uint32_t level = 0;
  Kind kind = Kind::leaf;
  /// message/rfc822 by its type or by default, also when it is too deep to be opened.
  bool isMessage = false;
  /// Multipart or message by its type, but too deep or one too many to be opened.
  bool overflow = false;
  /// The Content-Type, when it can be read.
  std::optional<ContentType> type;
  /// Fields of the header that the writers use begin here in MessageTree::fields.
  std::size_t firstField = 0;
  std::size_t lastField = 0;
  /// Of each kind the field that rules, which is the last one: its place behind firstField plus one, 0 for none.
  std::array<std::uint16_t, fieldKinds> ruling{};
  std::size_t headerStart = 0;
  std::size_t bodyStart = 0;
  std::size_t bodyEnd = 0;
  /// LFs of the body; while the part is open, LFs of the message before the body.
  std::uint64_t lines = 0;
};

struct Boundary {
  std::uint32_t part;
  /// In MessageTree::boundaryBytes.
  Span bytes;
};

/// The parsed message. Kept by its owner from message to message, so that its memory is reused.
struct MessageTree {
  std::vector<Part> parts;
  std::vector<HeaderField> fields;
  /// Raw fields that the cache keeps: from the name to the end of the last line.
  std::vector<Span> cached;
  /// Some did not fit in maxCachedBytes.
  bool cachedCut = false;

  /// Working memory of the pass: open multiparts, their boundaries, parameters.
  std::vector<Boundary> open;
  Writer boundaryBytes;
  Parameters parameters;
};

/// The fields of one part.
inline std::span<const HeaderField> fieldsOf(const MessageTree& tree, const Part& part) noexcept {
  return {tree.fields.data() + part.firstField, part.lastField - part.firstField};
}

/// The field that rules; null for none. Address fields are the exception (envelope.h).
inline const HeaderField* rulingField(const MessageTree& tree, const Part& part, Field kind) noexcept {
  const std::size_t place = part.ruling[static_cast<std::size_t>(kind)];
  return place == 0 ? nullptr : &tree.fields[part.firstField + place - 1];
}

/// What an earlier pass over the message found, which is not done again.
struct KnownLines {
  std::optional<std::uint64_t> lfs;
  /// All of the message, in their order.
  std::optional<std::span<const DashLine>> dashLines;
};

/// Replaces `tree` by the tree of `data`.
void parseTree(Bytes data, const KnownLines& known, MessageTree& tree);

}  // namespace mailhaul::mime
