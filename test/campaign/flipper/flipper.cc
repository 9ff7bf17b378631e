// The attacker of the flipper campaign: exchanges pairs of names as fast as it can, until SIGTERM, then puts them back.
//
//     flipper <plan>      plan: records `<parent>\0<name>\0<decoy>\0`
//
// A parent is opened once, so that a directory above it that is exchanged meanwhile does not lead astray. Prints
// `ready` when all parents are open, and `<exchanges> <failed>` at the end. Exit 0 when every pair is as it was.
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

// Exchanges between two looks at the clock of others: the attacked process shares the processor.
constexpr int kBurst = 48;
constexpr useconds_t kPauseUs = 40;

volatile std::sig_atomic_t stopped = 0;

struct Pair {
  int parent = -1;
  std::string name;
  std::string decoy;
  bool exchanged = false;
};

int rename2(const Pair& pair, const std::string& from, const std::string& to, unsigned flags) {
  return static_cast<int>(::syscall(SYS_renameat2, pair.parent, from.c_str(), pair.parent, to.c_str(), flags));
}

std::vector<Pair> readPlan(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<std::string> words;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = bytes.find('\0', at);
    words.push_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  std::map<std::string, int> parents;
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i + 2 < words.size(); i += 3) {
    const auto [found, added] = parents.try_emplace(words[i], -1);
    if (added) found->second = ::open(words[i].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (found->second < 0) {
      std::fprintf(stderr, "%s: errno %d\n", words[i].c_str(), errno);
      ::_exit(2);
    }
    pairs.push_back({found->second, words[i + 1], words[i + 2], false});
  }
  return pairs;
}

/// True when the name is what it was. One of the two may have been removed by the attacked process.
bool putBack(const Pair& pair) {
  if (!pair.exchanged || rename2(pair, pair.name, pair.decoy, RENAME_EXCHANGE) == 0) return true;
  return rename2(pair, pair.decoy, pair.name, RENAME_NOREPLACE) == 0 || errno == ENOENT;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  const rlimit limit{65536, 65536};
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);

  std::vector<Pair> pairs = readPlan(argv[1]);
  if (pairs.empty()) return 2;
  std::puts("ready");
  std::fflush(stdout);
  std::uint64_t random = 0x9e3779b97f4a7c15;
  std::uint64_t exchanges = 0;
  std::uint64_t failed = 0;
  while (stopped == 0) {
    for (int i = 0; i < kBurst; ++i) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      Pair& pair = pairs[random % pairs.size()];
      if (rename2(pair, pair.name, pair.decoy, RENAME_EXCHANGE) == 0) {
        pair.exchanged = !pair.exchanged;
        ++exchanges;
      } else {
        ++failed;
      }
    }
    ::usleep(kPauseUs);
  }
  bool whole = true;
  // Backwards: a pair may stand on what an earlier one made.
  for (std::size_t i = pairs.size(); i-- > 0;) whole = putBack(pairs[i]) && whole;
  std::printf("%llu %llu\n", static_cast<unsigned long long>(exchanges), static_cast<unsigned long long>(failed));
  return whole ? 0 : 1;
}
