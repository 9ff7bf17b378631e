#include <iostream>
#include <string_view>

#include "test.h"

int main(int argc, char** argv) {
  const std::string_view part = argc > 1 ? argv[1] : "";
  int ran = 0;
  for (const mailhaul::test::Test& test : mailhaul::test::tests()) {
    if (std::string_view(test.name).find(part) == std::string_view::npos) continue;
    const int before = mailhaul::test::failures();
    test.run();
    std::cout << (mailhaul::test::failures() == before ? "ok     " : "FAILED ") << test.name << '\n';
    ++ran;
  }
  std::cout << ran << " tests, " << mailhaul::test::failures() << " failures\n";
  return ran > 0 && mailhaul::test::failures() == 0 ? 0 : 1;
}
