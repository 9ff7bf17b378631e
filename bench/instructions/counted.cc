// Runs one piece of the native hot path so that others can count what it does:
//
//     counted about                       what the figures depend on, one a line: compiler, C library, vectors
//     counted list                        the names of the cases, one a line
//     counted <case> <directory> [scalar] prepares the case below the directory, runs it once, prints {messages, bytes}
//
// Instructions are those within `counted` (valgrind --tool=callgrind --toggle-collect=counted), system calls those
// between two writes to descriptor -1 (strace). `scalar` is as on a processor without AVX2. Exit code 3: this
// processor has no AVX2 to measure.
#include <gnu/libc-version.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string_view>

#include "cases.h"
#include "sys/processor.h"

using mailhaul::bench::Case;
using mailhaul::bench::Work;
namespace sys = mailhaul::sys;

extern "C" __attribute__((noinline, visibility("default"))) void counted(const Work& work) { work.run(); }

namespace {

void about() {
#if defined(__clang__)
  std::puts("clang++ " __clang_version__);
#else
  std::puts("g++ " __VERSION__);
#endif
  std::printf("glibc %s\n", ::gnu_get_libc_version());
  std::puts(sys::vectors() == sys::Vectors::avx2 ? "avx2" : "none");
}

void mark(std::string_view text) {
  // Refused by every kernel and seen by strace.
  if (::write(-1, text.data(), text.size()) >= 0) std::terminate();
}

int run(const Case& chosen, const char* directory) {
  const Work work = chosen.prepare(directory);
  mark("counted: begin");
  counted(work);
  mark("counted: end");
  std::printf("{\"messages\":%llu,\"bytes\":%llu}\n", static_cast<unsigned long long>(work.messages),
              static_cast<unsigned long long>(work.bytes));
  return 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int runCounted(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (argc == 2 && name == "about") {
    about();
    return 0;
  }
  if (argc == 2 && name == "list") {
    for (const Case& one : mailhaul::bench::cases()) std::puts(one.name);
    return 0;
  }
  if (argc == 4 && std::string_view(argv[3]) == "scalar") {
    sys::useVectors(sys::Vectors::none);
  } else if (sys::vectors() == sys::Vectors::none) {
    return 3;
  }
  for (const Case& one : mailhaul::bench::cases()) {
    if (argc < 3 || name != one.name) continue;
    try {
      return run(one, argv[2]);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "counted: %s: %s\n", one.name, error.what());
      return 1;
    }
  }
  std::fputs("usage: counted list | counted <case> <directory> [scalar]\n", stderr);
  return 2;
}
