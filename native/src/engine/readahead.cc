#include "engine/readahead.h"

#include <errno.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "sys/calls.h"
#include "sys/pace.h"

namespace mailhaul::engine {
namespace {

constexpr std::size_t kColdWeight = 8;
constexpr std::size_t kMostChill = 64;
/// Two batches, of a quarter.
constexpr std::size_t kShareOfFiles = 2 * 4;
constexpr std::size_t kLeastBatch = 4;
std::atomic<std::size_t> threads{0};

}  // namespace

std::size_t batchOf(std::size_t files, std::size_t ofThreads) noexcept {
  return std::clamp(files / kShareOfFiles / ofThreads, kLeastBatch, AheadMemory::kBatch);
}

AheadMemory::AheadMemory() noexcept { ++threads; }

AheadMemory::~AheadMemory() {
  --threads;
  useNoRing();
}

void AheadMemory::observe(bool cold) noexcept {
  // One cold message among hundreds is no reason: opening ahead and asking for it costs each of them two calls.
  chill_ = cold ? std::min(chill_ + kColdWeight, kMostChill) : chill_ - std::min<std::size_t>(chill_, 1);
  if (chill_ > kColdWeight) isCold_ = true;
  if (chill_ == 0) isCold_ = false;
}

void AheadMemory::useNoRing() noexcept {
  triedRing_ = true;
  if (ring_.close()) return;
  // It may still be written to.
  for (auto& bytes : bytes_) static_cast<void>(bytes.release());
}

bool AheadMemory::prepare() noexcept {
  if (mostFiles_ == 0) mostFiles_ = sys::mostFiles();
  // Of those that are there now: threads may come while a run goes on.
  batch_ = batchOf(mostFiles_, threads.load());
  if (!triedRing_) {
    triedRing_ = true;
    for (auto& bytes : bytes_) bytes.reset(new (std::nothrow) std::uint8_t[kBatchBytes]);
    if (bytes_[0] != nullptr && bytes_[1] != nullptr) static_cast<void>(ring_.open());
  }
  return ring_.isOpen();
}

// Those that nobody asks for any more.
ReadAhead::~ReadAhead() { closeFrom(next_ - std::min(next_, memory_.slots_.size())); }

Outcome ReadAhead::open(std::size_t k, Source*& source) noexcept {
  // What is read ahead is read before anybody has waited for it: not under a limit.
  if (memory_.isCold_ && !sys::isPaced()) {
    while (next_ < order_.size() && (next_ <= k || latest_ <= k) && memory_.isCold_) startBatch(k);
  }
  if (next_ <= k) {
    next_ = k;
    start(k);
    ++next_;
  }
  AheadMemory::Slot& slot = slotOf(k);
  await(slot);
  source = &slot.source;
  return slot.outcome;
}

Outcome ReadAhead::openAgain(std::size_t k, Source*& source) noexcept {
  start(k);
  return open(k, source);
}

void ReadAhead::start(std::size_t k) noexcept {
  const std::uint32_t i = order_[k];
  AheadMemory::Slot& slot = slotOf(k);
  slot.isUnderWay = false;
  NameBuffer buffer;
  const char* name = fileName(folder_.messages.name(i), buffer);
  if (name == nullptr) {
    slot.outcome = Outcome::fail(MessageError::notRegular);
    return;
  }
  const SourceRules rules{folder_.owner.uid, folder_.takeForeign};
  slot.outcome = slot.source.open(folder_.sourceFd, name, recordOf(folder_.messages, i), rules);
}

void ReadAhead::startBatch(std::size_t k) noexcept {
  const bool hasRing = memory_.prepare();
  std::span<std::uint8_t> rest;
  if (hasRing) rest = {memory_.bytes_[batches_ % 2].get(), AheadMemory::kBatchBytes};
  ++batches_;
  latest_ = next_;
  bool isFull = false;
  for (; next_ < order_.size() && next_ - latest_ < memory_.batch_; ++next_) {
    const std::size_t bytes = hasRing ? ringBytes(next_) : 0;
    if (bytes > rest.size()) break;
    start(next_);
    AheadMemory::Slot& slot = slotOf(next_);
    if (next_ > k && slot.outcome.halt != nullptr) {
      // Too many descriptors are open: one after another it goes on.
      isFull = true;
      break;
    }
    if (!slot.outcome.ok()) continue;
    struct stat st {};
    // A read of a fifo that took the place of a message would wait until somebody writes to it.
    if (bytes == 0 || sys::statFd(slot.source.fd(), st) != 0 || !S_ISREG(st.st_mode)) {
      sys::willNeed(slot.source.fd());
      continue;
    }
    slot.into = rest.first(bytes);
    slot.isUnderWay = true;
    memory_.ring_.queue(slot.source.fd(), slot.into, static_cast<std::uint32_t>(next_ % memory_.slots_.size()));
    rest = rest.subspan(bytes);
  }
  if (hasRing) {
    takeResults(true);
    memory_.ring_.submit();
    // What is there already was in memory.
    takeResults(false);
  }
  if (isFull) static_cast<void>(letGo(k));
}

bool ReadAhead::letGo(std::size_t k) noexcept {
  memory_.chill_ = 0;
  memory_.isCold_ = false;
  return closeFrom(k + 1);
}

/// False: none was open.
bool ReadAhead::closeFrom(std::size_t first) noexcept {
  bool any = false;
  for (; next_ > first; --next_) {
    AheadMemory::Slot& slot = slotOf(next_ - 1);
    await(slot);
    any = any || slot.source.isOpen();
    slot.source.close();
  }
  return any;
}

/// Of the memory of a batch: one more than the message has, which shows that it did not grow. 0: it is not for the
/// ring.
std::size_t ReadAhead::ringBytes(std::size_t k) const noexcept {
  const double size = folder_.messages.sizes[order_[k]];
  return size < 1 || size >= static_cast<double>(AheadMemory::kMostBytes) ? 0 : static_cast<std::size_t>(size) + 1;
}

void ReadAhead::takeResults(bool waited) noexcept {
  std::uint32_t token = 0;
  std::int32_t result = 0;
  while (memory_.ring_.take(token, result)) {
    AheadMemory::Slot& slot = memory_.slots_[token];
    slot.isUnderWay = false;
    if (result >= 0 && static_cast<std::size_t>(result) + 1 == slot.into.size()) {
      slot.source.wasRead(slot.into.first(slot.into.size() - 1), waited);
    } else if (result > 0 || result == -EAGAIN) {
      sys::willNeed(slot.source.fd());
    }
    // Whatever else went wrong, reading it when it is its turn tells.
  }
}

void ReadAhead::await(const AheadMemory::Slot& slot) noexcept {
  while (slot.isUnderWay) {
    if (memory_.ring_.wait() != 0) {
      memory_.useNoRing();
      for (AheadMemory::Slot& other : memory_.slots_) other.isUnderWay = false;
      return;
    }
    takeResults(true);
  }
}

}  // namespace mailhaul::engine
