// The CRLF form of a message (3x-profile.md, "Message files"): every LF without a CR before it gets one; a lone CR,
// a NUL and a last line without an end stay as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace mailhaul::mime {

/// How many LFs `data` has when every one has a CR before it, else nothing.
std::optional<std::uint64_t> lfsOfCrlfForm(std::span<const std::uint8_t> data) noexcept;

inline bool isCrlfForm(std::span<const std::uint8_t> data) noexcept { return lfsOfCrlfForm(data).has_value(); }

/// Bytes of the CRLF form of `data`.
std::size_t crlfBytes(std::span<const std::uint8_t> data) noexcept;

/// Replaces the content of `out` by the CRLF form of `data`. `out` must not share memory with `data`.
void toCrlfForm(std::span<const std::uint8_t> data, std::vector<std::uint8_t>& out);

}  // namespace mailhaul::mime
