// What was freed is back with the system once returnFreedMemory() was called, and is not before: so the call does
// something. A program of its own, built without sanitizers: ASan has a malloc of its own, which keeps what is freed
// and knows nothing of the call. Each process is one try, since the call cannot be undone.
#include "sys/allocator.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../test.h"

// Other C libraries return memory by themselves: there the call does nothing, and nothing can be told from this.
#if defined(__GLIBC__)

namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

using Piece = std::unique_ptr<void, decltype(&std::free)>;

/// Every page of it is in memory.
Piece piece(std::size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  std::memset(memory, 1, bytes);
  return {memory, &std::free};
}

/// Of this process, KiB.
long resident() {
  long pages = 0;
  std::FILE* statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr || std::fscanf(statm, "%*d %ld", &pages) != 1) std::abort();
  std::fclose(statm);
  return pages * (::sysconf(_SC_PAGESIZE) / static_cast<long>(kKiB));
}

/// As the thread of a run: one large piece comes and goes before, which is when malloc begins to keep pieces of its
/// size.
template <typename Use>
long keptBy(Use&& use) {
  long kept = 0;
  std::thread([&] {
    { const Piece first = piece(4 * kMiB); }
    const long before = resident();
    use();
    kept = resident() - before;
  }).join();
  return kept;
}

/// Large ones, and what is still in use between them.
long keptOfLarge() {
  std::vector<Piece> small;
  return keptBy([&] {
    std::vector<Piece> large;
    for (int i = 0; i < 8; ++i) {
      large.push_back(piece(4 * kMiB));
      small.push_back(piece(100));
    }
  });
}

/// Small ones, all of which are freed: less than malloc keeps by then, more than it is told to keep.
long keptOfSmall() {
  return keptBy([] {
    std::vector<Piece> small;
    for (int i = 0; i < 96; ++i) small.push_back(piece(64 * kKiB));
  });
}

/// In a process of its own, KiB.
long inChild(long (*kept)(), bool isCalled) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  const pid_t child = ::fork();
  if (child == 0) {
    if (isCalled) mailhaul::sys::returnFreedMemory();
    const long answer = kept();
    ::_exit(::write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
  }
  long answer = -1;
  ::close(ends[1]);
  if (child < 0 || ::read(ends[0], &answer, sizeof answer) != sizeof answer) std::abort();
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return answer;
}

/// Returns what was kept without the call and with it.
std::pair<long, long> tried(const char* what, long (*kept)()) {
  const long without = inChild(kept, false), with = inChild(kept, true);
  std::cout << what << ": " << without << " KiB kept without the call, " << with << " with it\n";
  return {without, with};
}

}  // namespace

TEST(LargePiecesGoBackAtOnce) {
  const auto [without, with] = tried("32 MiB in pieces of 4 MiB", keptOfLarge);
  CHECK(without > 24 * 1024);
  CHECK(with < 1024);
}

TEST(NoMoreThanAMebibyteOfSmallPiecesIsKept) {
  const auto [without, with] = tried("6 MiB in pieces of 64 KiB", keptOfSmall);
  CHECK(without > 5 * 1024);
  // And what malloc and the thread need for themselves.
  CHECK(with < 2 * 1024);
}

#else

TEST(AllocatorIsLeftOutHere) { std::cout << "left out, because this is not glibc: what freed memory does\n"; }

#endif
