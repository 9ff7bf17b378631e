// A 3.x folder, a mailbox directory and a registry on disk, and the engine's input for them; faults and limits for a
// thread.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/migrate.h"
#include "sys/fault.h"
#include "sys/fd.h"
#include "sys/pace.h"

namespace mailhaul::test {

/// Counts this thread's effective calls; the `at`-th fails with `error`.
class ArmedFault {
 public:
  ArmedFault(int at, int error) { sys::armFault({&count_, at, sys::FaultAction::fail, error}); }
  ArmedFault(const ArmedFault&) = delete;
  ArmedFault& operator=(const ArmedFault&) = delete;
  ~ArmedFault() { sys::armFault({}); }
  [[nodiscard]] int calls() const { return count_; }

 private:
  std::int32_t count_ = 0;
};

/// The shared memory, as src/fs/pace.ts sets it.
struct PaceMemory {
  alignas(std::int64_t) std::array<std::int32_t, sys::Pace::kSlots> slots{};
  std::int32_t cancel = 0;

  PaceMemory(std::int64_t bytes, std::int64_t operations, std::int64_t due = 0) {
    number(1) = bytes;
    number(2) = operations;
    number(3) = number(4) = due;
    sys::pacing = true;
    slots[0] = 1;
    slots[1] = 1;
  }
  std::int64_t& number(std::size_t i) { return reinterpret_cast<std::int64_t*>(slots.data())[i]; }
  void change() { std::atomic_ref<std::int32_t>(slots[1]).fetch_add(1); }
  void end() { std::atomic_ref<std::int32_t>(cancel).store(1); }
  [[nodiscard]] std::int64_t counted() { return std::atomic_ref<std::int64_t>(number(5)).load(); }
};

/// This thread keeps to the pace while it lives.
struct ArmedPace {
  explicit ArmedPace(PaceMemory& memory) { sys::armPace(memory.slots.data(), &memory.cancel); }
  ArmedPace(const ArmedPace&) = delete;
  ArmedPace& operator=(const ArmedPace&) = delete;
  ~ArmedPace() { sys::armPace(nullptr, nullptr); }
};

class TestFolder {
 public:
  /// Everything lies below a new directory in `parent`, the mailbox directory in one in `targetParent`.
  explicit TestFolder(std::string_view parent = "/tmp", std::string_view targetParent = "/tmp");
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder();

  /// Writes a 3.x message file of mode 0600 and appends it to the table, uid = `uid`.
  void add(std::uint32_t uid, const std::string& name, std::string_view content);
  /// Appends another name of the file `of`.
  void addLink(std::uint32_t uid, const std::string& name, const std::string& of);

  /// Views of this object's columns, of the files as they were added.
  [[nodiscard]] engine::Folder input(bool resumed = false);

  /// Path below the mailbox directory → content.
  [[nodiscard]] std::map<std::string, std::string> target() const;

  std::filesystem::path root;
  std::filesystem::path source;
  std::filesystem::path targetRoot;
  std::filesystem::path targetDirectory;
  std::filesystem::path single;

 private:
  void record(std::uint32_t uid, const std::string& name);

  sys::Fd sourceFd_, targetFd_, singleFd_;
  std::vector<std::uint32_t> uids_, flags_, keywordOffsets_{0}, nameOffsets_{0};
  std::vector<double> dates_, sizes_;
  std::vector<std::uint8_t> names_, refused_;
  std::vector<std::uint64_t> inodes_;
  std::vector<std::int64_t> mtimes_;
  alignas(std::int64_t) std::array<std::int32_t, 16> progress_{};
};

/// Moves the folder in this thread, with memory of its own.
[[nodiscard]] engine::Result migrate(const engine::Folder& folder);

/// Of this process; one of them is of the look itself.
[[nodiscard]] std::ptrdiff_t openDescriptors();

/// While it lives, only so many more files may be opened.
class FewDescriptors {
 public:
  explicit FewDescriptors(int spare);
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors();

 private:
  rlimit before_{};
};

/// How a child process ends that does `action`: as waitpid(2) tells it.
template <typename Action>
int childStatus(Action&& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    action();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

/// What `body`, 0 … 254, returns in a child process; 255 when that dies.
template <typename Body>
int resultOfChild(Body&& body) {
  const int status = childStatus([&] { ::_exit(body()); });
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

[[nodiscard]] std::string readFile(const std::filesystem::path& path);
void writeFile(const std::filesystem::path& path, std::string_view content);

}  // namespace mailhaul::test
