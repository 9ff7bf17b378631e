#include "engine/jobs.h"

namespace mailhaul::engine {

Jobs& Jobs::ofProcess() noexcept {
  static Jobs jobs;
  return jobs;
}

std::uint32_t Jobs::announce() {
  const std::lock_guard lock(mutex_);
  // After 2^32 of them the numbers begin anew; one that is still in use is passed over.
  do {
    if (++last_ == 0) ++last_;
  } while (slots_.contains(last_));
  slots_.emplace(last_, Slot{});
  return last_;
}

void Jobs::forget(std::uint32_t id) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(id);
  if (found == slots_.end() || found->second.job != nullptr) return;
  slots_.erase(found);
  changed_.notify_all();
}

Piece Jobs::help(std::uint32_t id, Scratch& scratch) noexcept {
  std::unique_lock lock(mutex_);
  auto found = slots_.end();
  changed_.wait(lock, [&] {
    found = slots_.find(id);
    return found == slots_.end() || found->second.job != nullptr;
  });
  if (found == slots_.end() || found->second.closed) return {};
  // References into the map stay where they are, whatever comes and goes beside them.
  Slot& slot = found->second;
  ++slot.helpers;
  lock.unlock();
  const Piece piece = slot.job->help(scratch);
  lock.lock();
  --slot.helpers;
  changed_.notify_all();
  return piece;
}

Jobs::Opened::Opened(std::uint32_t id, Job& job) noexcept : id_(id) {
  Jobs& jobs = ofProcess();
  const std::lock_guard lock(jobs.mutex_);
  const auto found = jobs.slots_.find(id);
  if (found == jobs.slots_.end() || found->second.job != nullptr) {
    id_ = 0;
    return;
  }
  found->second.job = &job;
  jobs.changed_.notify_all();
}

Jobs::Opened::~Opened() {
  if (id_ == 0) return;
  Jobs& jobs = ofProcess();
  std::unique_lock lock(jobs.mutex_);
  Slot& slot = jobs.slots_.find(id_)->second;
  slot.closed = true;
  jobs.changed_.wait(lock, [&] { return slot.helpers == 0; });
  jobs.slots_.erase(id_);
  jobs.changed_.notify_all();
}

}  // namespace mailhaul::engine
