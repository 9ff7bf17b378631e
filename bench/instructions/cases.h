// What is counted: the pieces of the native hot path, each alone, and whole moves of a folder.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace mailhaul::bench {

/// One case, set up: only `run` is counted. It works once, and throws std::runtime_error when it went wrong.
struct Work {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::function<void()> run;
};

struct Case {
  const char* name;
  /// Everything on disk lies below new directories in `parent`, which go with the Work.
  Work (*prepare)(const std::string& parent);
};

[[nodiscard]] std::span<const Case> cases();

}  // namespace mailhaul::bench
