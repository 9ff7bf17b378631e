// Names that are known when the program is built, compared without case a word at a time.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "bytes.h"

namespace mailhaul::mime {

/// ASCII in lower case, as a template argument: is<"to">(…).
template <std::size_t N>
struct Lower {
  std::array<char, N> text{};

  consteval Lower(const char (&literal)[N + 1]) {  // NOLINT(google-explicit-constructor)
    for (std::size_t i = 0; i < N; i++) text[i] = literal[i];
  }
  static constexpr std::size_t size = N;
};

template <std::size_t N>
Lower(const char (&)[N]) -> Lower<N - 1>;

namespace detail {

template <Lower name, std::size_t offset, typename Word>
inline bool wordIs(const std::uint8_t* at) noexcept {
  constexpr auto bytesOf = [](bool caseBits) {
    std::array<std::uint8_t, sizeof(Word)> bytes{};
    for (std::size_t i = 0; i < bytes.size(); i++) {
      const char byte = name.text[offset + i];
      // Only a letter has a case: setting the bit in all bytes would make a CR a dash.
      const bool letter = byte >= 'a' && byte <= 'z';
      bytes[i] = caseBits ? static_cast<std::uint8_t>(letter ? 0x20 : 0) : static_cast<std::uint8_t>(byte);
    }
    return std::bit_cast<Word>(bytes);
  };
  constexpr Word wanted = bytesOf(false);
  constexpr Word caseBits = bytesOf(true);
  Word word = 0;
  std::memcpy(&word, at + offset, sizeof word);
  return static_cast<Word>(word | caseBits) == wanted;
}

/// Whole words, and a last one that reaches back into the one before.
template <Lower name, typename Word>
inline bool wordsAre(const std::uint8_t* at) noexcept {
  constexpr std::size_t last = name.size - sizeof(Word);
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    return (wordIs<name, i * sizeof(Word), Word>(at) && ...) && wordIs<name, last, Word>(at);
  }
  (std::make_index_sequence<last / sizeof(Word) + (last % sizeof(Word) > 0 ? 1 : 0)>());
}

}  // namespace detail

/// True when `name` is at `at`, where so many bytes can be read.
template <Lower name>
inline bool is(const std::uint8_t* at) noexcept {
  if constexpr (name.size >= 8) {
    return detail::wordsAre<name, std::uint64_t>(at);
  } else if constexpr (name.size >= 4) {
    return detail::wordsAre<name, std::uint32_t>(at);
  } else {
    static_assert(name.size >= 2);
    return detail::wordsAre<name, std::uint16_t>(at);
  }
}

/// True when the bytes of `span` are `name`.
template <Lower name>
inline bool is(Bytes data, Span span) noexcept {
  return span.end - span.start == name.size && is<name>(data.data() + span.start);
}

}  // namespace mailhaul::mime
