#include "index/writer.h"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstring>

namespace mailhaul::index {
namespace {

using engine::Outcome;

constexpr std::size_t kHeaderBytes = 256;
constexpr std::size_t kCheckAt = 248;
constexpr std::size_t kSectionsAt = 88;
constexpr std::size_t kSectionBytes = 24;
constexpr std::size_t kFlushBytes = std::size_t{1} << 20;
constexpr std::array<std::uint8_t, 8> kMagic{0x89, 'N', 'S', 'I', 'D', 'X', '\r', '\n'};

// Little-endian stores, whatever the processor.
template <std::unsigned_integral T>
void store(std::uint8_t* at, T value) noexcept {
  for (std::size_t i = 0; i < sizeof value; ++i) {
    at[i] = static_cast<std::uint8_t>(value & 0xFF);
    if constexpr (sizeof value > 1) value = static_cast<T>(value >> 8);
  }
}

template <std::unsigned_integral T>
void append(std::vector<std::uint8_t>& out, T value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  store(out.data() + at, value);
}

void count(engine::Summary& summary, const Entry& entry) noexcept {
  const bool first = summary.messages == 0;
  summary.messages += 1;
  summary.bytes += entry.size;
  summary.lastAppend = first ? entry.internalDate : std::max(summary.lastAppend, entry.internalDate);
  summary.seen += (entry.flags & engine::flag::seen) != 0;
  summary.answered += (entry.flags & engine::flag::answered) != 0;
  summary.flagged += (entry.flags & engine::flag::flagged) != 0;
  summary.deleted += (entry.flags & engine::flag::deleted) != 0;
  summary.draft += (entry.flags & engine::flag::draft) != 0;
}

/// The sections as they are appended; each starts at a multiple of 8 of the file.
class Layout {
 public:
  explicit Layout(std::uint8_t* header) noexcept : header_(header) {}

  void add(std::uint64_t offset, std::uint64_t bytes, std::uint64_t check) noexcept {
    std::uint8_t* at = header_ + kSectionsAt + kSectionBytes * next_++;
    store(at, offset);
    store(at + 8, bytes);
    store(at + 16, check);
  }

 private:
  std::uint8_t* header_;
  std::size_t next_ = 0;
};

std::vector<std::uint8_t> keywordTable(const std::vector<std::string>& keywords) {
  std::vector<std::uint8_t> table;
  for (const std::string& keyword : keywords) {
    append(table, static_cast<std::uint32_t>(keyword.size()));
    table.insert(table.end(), keyword.begin(), keyword.end());
  }
  return table;
}

}  // namespace

// Growing step by step, every folder would copy its entries twice, into memory that is new each time.
void Writer::expect(std::size_t cacheBytes) {
  constexpr std::size_t rest = kHeaderBytes + 4096;  // and the small sections
  pending_.reserve(std::min(pending_.size() + cacheBytes + records_.capacity() + rest, 2 * kFlushBytes));
}

void Writer::begin() {
  if (file_.fd() < 0 && pending_.empty()) pending_.resize(kHeaderBytes);
}

Outcome Writer::add(const Entry& entry) {
  begin();
  const auto firstKeyword = static_cast<std::uint32_t>(keywordRefs_.size() / sizeof(std::uint32_t));
  std::array<std::uint8_t, kRecordBytes> record{};
  store(record.data(), entry.uid);
  store(record.data() + 4, entry.flags);
  store(record.data() + 8, static_cast<std::uint64_t>(entry.internalDate));
  store(record.data() + 16, entry.size);
  store(record.data() + 24, entry.headerBytes);
  std::memcpy(record.data() + 32, entry.digest.data(), entry.digest.size());
  store(record.data() + 48, cacheBytes_);
  store(record.data() + 56, static_cast<std::uint32_t>(entry.cache.size()));
  store(record.data() + 60, hash::check32(entry.cache));
  store(record.data() + 64, firstKeyword);
  store(record.data() + 68, static_cast<std::uint32_t>(entry.keywords.size()));
  records_.insert(records_.end(), record.begin(), record.end());
  for (const std::uint32_t reference : entry.keywords) index::append(keywordRefs_, reference);
  count(summary_, entry);
  cacheBytes_ += entry.cache.size();
  append(entry.cache);
  return pending_.size() < kFlushBytes ? Outcome{} : flush();
}

Outcome Writer::publish(const engine::Folder& folder) {
  begin();
  std::array<std::uint8_t, kHeaderBytes> header{};
  Layout layout(header.data());
  layout.add(kHeaderBytes, cacheBytes_, 0);
  std::uint64_t end = kHeaderBytes + cacheBytes_;
  Outcome written;
  const auto section = [&](std::span<const std::uint8_t> data) {
    for (; end % 8 != 0; ++end) pending_.push_back(0);
    layout.add(end, data.size(), hash::check64(data));
    end += data.size();
    append(data);
    if (written.ok() && pending_.size() >= kFlushBytes) written = flush();
  };
  const std::vector<std::uint8_t> keywords = keywordTable(folder.keywords);
  section(records_);
  section(keywordRefs_);
  section(keywords);
  section(folder.admin);

  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  store(header.data() + 8, std::uint32_t{1});
  store(header.data() + 12, static_cast<std::uint32_t>(kHeaderBytes));
  store(header.data() + 16, end);
  store(header.data() + 24, folder.uidvalidity);
  store(header.data() + 28, folder.uidnext);
  store(header.data() + 32, summary_.messages);
  store(header.data() + 36, static_cast<std::uint32_t>(kRecordBytes));
  store(header.data() + 40, summary_.seen);
  store(header.data() + 44, summary_.answered);
  store(header.data() + 48, summary_.flagged);
  store(header.data() + 52, summary_.deleted);
  store(header.data() + 56, summary_.draft);
  store(header.data() + 60, static_cast<std::uint32_t>(folder.keywords.size()));
  store(header.data() + 64, summary_.bytes);
  store(header.data() + 72, static_cast<std::uint64_t>(summary_.lastAppend));
  store(header.data() + kCheckAt, hash::check64(std::span(header).first(kCheckAt)));

  if (!written.ok()) return written;
  if (file_.fd() < 0) {
    // All of it is still here: one write.
    std::copy(header.begin(), header.end(), pending_.begin());
    written = flush();
  } else {
    if (written = flush(); written.ok()) written = file_.writeAt(header, 0);
  }
  return written.ok() ? file_.replace("store.idx") : written;
}

Outcome Writer::flush() {
  if (file_.fd() < 0) {
    if (const Outcome made = file_.create(mailboxFd_, "store.idx.new", owner_); !made.ok()) return made;
  }
  const Outcome written = file_.write(pending_);
  pending_.clear();
  return written;
}

}  // namespace mailhaul::index
