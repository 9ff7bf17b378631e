// Messages from a seed: the same bytes on every machine and with every compiler, so that their instructions compare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mailhaul::bench {

/// One text of about `bytes` bytes in CRLF form, under the header of an ordinary mail of the nineties.
[[nodiscard]] std::string plainMessage(std::uint64_t seed, std::size_t bytes);

/// multipart/mixed: an alternative of text and HTML, a forwarded message, an attachment in base64; header fields with
/// encoded words (RFC 2047), folds, comments, groups and parameters in sections (RFC 2231). CRLF form.
[[nodiscard]] std::string multipartMessage(std::uint64_t seed, std::size_t bytes);

/// The message with bare LF.
[[nodiscard]] std::string withBareLf(const std::string& message);

}  // namespace mailhaul::bench
