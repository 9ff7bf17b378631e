// A reader of store.idx that shares nothing with the writer (docs/formats/store-idx.md).
#pragma once

#include <cstdint>
#include <span>

namespace mailhaul::fuzz {

/// Checks every byte of a freshly written index; returns how many messages it lists.
[[nodiscard]] std::uint32_t checkIndex(std::span<const std::uint8_t> file);

}  // namespace mailhaul::fuzz
