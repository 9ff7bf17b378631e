// A reader of cache entries that shares nothing with the writer: it takes an entry apart as docs/formats/store-idx.md
// describes it ("Cache entry") and ends the process when the entry breaks a promise of that page.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mailhaul::fuzz {

using Bytes = std::span<const std::uint8_t>;

/// One part of the list of parts, offsets of the message.
struct PartView {
  std::uint64_t kind = 0;
  std::uint64_t children = 0;
  std::uint64_t headerStart = 0;
  std::uint64_t bodyStart = 0;
  std::uint64_t bodyEnd = 0;
  std::uint64_t lines = 0;
};

struct EntryView {
  Bytes envelope;
  Bytes bodystructure;
  std::vector<PartView> parts;
  Bytes fields;
};

/// Takes the entry of `message` apart and checks it against the message: lengths, numbers, nesting, line counts, and
/// that ENVELOPE and BODYSTRUCTURE are IMAP values of the right form.
[[nodiscard]] EntryView checkedEntry(Bytes entry, Bytes message);

}  // namespace mailhaul::fuzz
