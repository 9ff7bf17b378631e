// Changes of messages that know what a message is: fields, folds, boundaries, parts, RFC 2231, encoded words.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mailhaul::fuzz {

/// Changes the message of `size` bytes in place; at most `room` bytes. Half of the changes are libFuzzer's own.
[[nodiscard]] std::size_t mutateMessage(std::uint8_t* data, std::size_t size, std::size_t room, unsigned seed);

}  // namespace mailhaul::fuzz
