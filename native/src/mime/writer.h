// Builds the bytes of a cache entry: a growing buffer with the IMAP forms of strings and numbers.
// The twin of src/engine/message/writer.ts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "bytes.h"

namespace mailhaul::mime {

/// Grows, never shrinks by itself; clear() keeps the memory, so that a worker allocates only for its largest messages.
class Writer {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return length_; }
  [[nodiscard]] Bytes view() const noexcept { return {store_.get(), length_}; }
  [[nodiscard]] std::uint8_t last() const noexcept { return store_[length_ - 1]; }

  void clear() noexcept { length_ = 0; }
  /// Drops what was written after `length`.
  void truncate(std::size_t length) noexcept { length_ = length; }
  /// Gives memory above `limit` bytes back.
  void release(std::size_t limit) noexcept {
    if (room_ > limit) {
      store_.reset();
      room_ = 0;
    }
    length_ = 0;
  }

  void byte(std::uint8_t value) {
    ensure(1);
    store_[length_++] = value;
  }

  void bytes(Bytes data) {
    ensure(data.size());
    if (!data.empty()) std::memcpy(store_.get() + length_, data.data(), data.size());
    length_ += data.size();
  }

  void ascii(std::string_view text) {
    ensure(text.size());
    std::memcpy(store_.get() + length_, text.data(), text.size());
    length_ += text.size();
  }

  void nil() { ascii("NIL"); }

  /// Makes room for `more` bytes, so that `put` may be called that often.
  void reserve(std::size_t more) { ensure(more); }
  /// A byte that room was reserved for.
  void put(std::uint8_t value) noexcept { store_[length_++] = value; }

  /// Appends what was written in [start, end) once more.
  void repeat(std::size_t start, std::size_t end) {
    ensure(end - start);
    std::memcpy(store_.get() + length_, store_.get() + start, end - start);
    length_ += end - start;
  }

  void decimal(std::uint64_t value);

  /// Unsigned LEB128.
  void leb128(std::uint64_t value) {
    ensure(10);
    for (; value >= 0x80; value >>= 7U) put(static_cast<std::uint8_t>(value | 0x80U));
    put(static_cast<std::uint8_t>(value));
  }

  /// Overwrites four bytes with a little-endian u32.
  void u32At(std::size_t offset, std::uint32_t value) noexcept {
    for (std::size_t i = 0; i < 4; i++) store_[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }

  /// The bytes of `span` as a string: quoted where they allow it, else a literal (store-idx.md, "Cache entry").
  void string(Bytes data, Span span) {
    if (!plain(data, span)) unusual(data.subspan(span.start, span.end - span.start));
  }

  /// What another writer holds as a string.
  void string(const Writer& other) {
    if (other.length_ == 0) {
      ascii("\"\"");
    } else {
      string({other.store_.get(), other.length_ + kSlack}, {0, other.length_});
    }
  }

  /// Writes a string that is printable ASCII and needs no backslash; false, and nothing is written, for any other. Also
  /// false for one so near to the end of `data` that blocks cannot be read.
  bool plain(Bytes data, Span span);

  /// The bytes of [start, end) without the line ends in them (unfolding, RFC 5322 2.2.3).
  void unfolded(Bytes data, std::size_t start, std::size_t end);

 private:
  /// Bytes behind the room: whole blocks are read and written.
  static constexpr std::size_t kSlack = 32;

  void ensure(std::size_t more) {
    if (room_ - length_ < more) grow(more);
  }
  void grow(std::size_t more);
  void unusual(Bytes data);

  std::unique_ptr<std::uint8_t[]> store_;
  std::size_t room_ = 0;
  std::size_t length_ = 0;
};

}  // namespace mailhaul::mime
