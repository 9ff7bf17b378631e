// The smallest test frame that does: TEST registers a function, CHECK and CHECK_EQ count failures and go on.
// `mailhaul_test [part of a name]` runs the tests whose name contains it.
#pragma once

#include <iostream>
#include <string_view>
#include <vector>

namespace mailhaul::test {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline void check(bool good, const char* text, const char* file, int line) {
  if (good) return;
  ++failures();
  std::cerr << file << ':' << line << ": " << text << '\n';
}

template <typename A, typename B>
void checkEqual(const A& actual, const B& expected, const char* text, const char* file, int line) {
  if (actual == expected) return;
  ++failures();
  std::cerr << file << ':' << line << ": " << text << ": " << actual << " instead of " << expected << '\n';
}

}  // namespace mailhaul::test

#define TEST(name)                                                             \
  static void name();                                                          \
  static const mailhaul::test::Registration registration_##name(#name, &name); \
  static void name()
#define CHECK(condition) mailhaul::test::check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(actual, expected) mailhaul::test::checkEqual((actual), (expected), #actual, __FILE__, __LINE__)
