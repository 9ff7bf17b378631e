// Writes store.idx, version 1, as docs/formats/store-idx.md lays it out:
//
//     header 256 | cache | records | keywordRefs | keywords | admin
//
// The cache goes to the file slice by slice, so that a giant folder never holds its whole cache in memory; records
// (80 bytes a message) are kept and follow at the end, the header last. The file has no name until `publish`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/newfile.h"
#include "engine/types.h"
#include "hash/xxh3.h"

namespace mailhaul::index {

/// One message; uids ascend strictly from call to call.
struct Entry {
  std::uint32_t uid = 0;
  std::uint32_t flags = 0;
  std::int64_t internalDate = 0;  ///< seconds since 1970
  std::uint64_t size = 0;         ///< bytes of the stored (CRLF) form
  std::uint64_t headerBytes = 0;  ///< with the blank line
  hash::Digest digest{};
  std::span<const std::uint32_t> keywords;  ///< indexes into the keyword table, ascending
  std::span<const std::uint8_t> cache;
};

class Writer {
 public:
  /// `mailboxFd` stays open for the life of the writer.
  Writer(int mailboxFd, const engine::Owner& owner) noexcept : mailboxFd_(mailboxFd), owner_(owner) {}

  /// Room for the records of `messages` messages. Throws std::bad_alloc.
  void reserve(std::size_t messages) { records_.reserve(messages * kRecordBytes); }

  /// Room for cache entries of so many bytes that are going to be added. Throws std::bad_alloc.
  void expect(std::size_t cacheBytes);

  /// Appends one message. Throws std::bad_alloc.
  [[nodiscard]] engine::Outcome add(const Entry& entry);

  /// Writes the rest and puts the file in the place of store.idx. Throws std::bad_alloc.
  [[nodiscard]] engine::Outcome publish(const engine::Folder& folder);

  /// The file is open, perhaps under its temporary name.
  [[nodiscard]] bool isOpen() const noexcept { return file_.fd() >= 0; }

  [[nodiscard]] const engine::Summary& summary() const noexcept { return summary_; }

  static constexpr std::size_t kRecordBytes = 80;

 private:
  /// What is pending begins with the place of the header. Throws std::bad_alloc.
  void begin();
  [[nodiscard]] engine::Outcome flush();
  void append(std::span<const std::uint8_t> data) { pending_.insert(pending_.end(), data.begin(), data.end()); }

  int mailboxFd_;
  engine::Owner owner_;
  engine::NewFile file_;
  std::vector<std::uint8_t> pending_;  ///< not yet written
  std::uint64_t cacheBytes_ = 0;
  std::vector<std::uint8_t> records_;
  std::vector<std::uint8_t> keywordRefs_;
  engine::Summary summary_;
};

}  // namespace mailhaul::index
