// The plan of a plain folder from hostile bytes. The input is an index; every word in it but one of four is a file of
// the folder, of the size that the word before says, so that lines find files. Promises: a plan is one that the engine
// takes, each of its messages a file of its own, and what it does not take it leaves.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "plan/plain.h"
#include "sys/fd.h"

using mailhaul::fuzz::require;
using namespace mailhaul;

namespace {

struct Files {
  std::vector<std::uint8_t> names;
  std::vector<std::uint32_t> offsets{0};
  std::vector<double> sizes;
  std::vector<std::uint32_t> modes;
  std::vector<std::uint32_t> uids;

  void add(std::string_view name, double size, std::uint32_t mode, std::uint32_t uid) {
    names.insert(names.end(), name.begin(), name.end());
    offsets.push_back(static_cast<std::uint32_t>(names.size()));
    sizes.push_back(size);
    modes.push_back(mode);
    uids.push_back(uid);
  }
};

Files filesOf(std::string_view text) {
  Files files;
  std::set<std::string_view> seen;
  double number = 0;
  for (std::size_t i = 0; !text.empty(); ++i) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::uint32_t value = 0;
    const bool digits = std::from_chars(word.data(), word.data() + word.size(), value).ptr == word.data() + word.size();
    if (!word.empty() && !digits && i % 4 != 3 && seen.insert(word).second) {
      files.add(word, number, i % 16 == 9 ? S_IFDIR | 0755u : S_IFREG | 0600u, i % 32 == 13 ? 7 : 8);
    }
    if (digits) number = value;
  }
  return files;
}

void check(const plan::Plain& plain, const Files& files) {
  const std::size_t count = plain.files.size();
  require(plain.uids.size() == count && plain.dates.size() == count && plain.flags.size() == count &&
              plain.keywordOffsets.size() == count + 1,
          "all columns have a row a message");
  require(std::set(plain.files.begin(), plain.files.end()).size() == count, "a file is one message");
  require(std::is_sorted(plain.uids.begin(), plain.uids.end(), std::less_equal<>()) || count < 2, "uids ascend");
  require(count == 0 || plain.uids.front() > 0, "no uid is 0");
  require(plain.header.uidvalidity > 0 && plain.header.uidnext > 0, "the header is valid");
  std::size_t nameBytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t file = plain.files[i];
    require(file < files.sizes.size(), "a message is a file of the folder");
    require(S_ISREG(files.modes[file]) && files.uids[file] == 8 && files.sizes[file] > 0, "a message is one of ours");
    require(plain.flags[i] < 32 && plain.dates[i] >= 0 && plain.dates[i] < 253402300800,
            "its flags and date are valid");
    nameBytes += files.offsets[file + 1] - files.offsets[file];
    const std::uint32_t from = plain.keywordOffsets[i];
    require(from <= plain.keywordOffsets[i + 1], "the references ascend");
    for (std::uint32_t k = from; k < plain.keywordOffsets[i + 1]; ++k) {
      require(plain.keywordRefs[k] < plain.keywords.size(), "a reference is to a keyword");
      require(k == from || plain.keywordRefs[k - 1] < plain.keywordRefs[k], "a message has a keyword once");
    }
  }
  require(nameBytes == plain.nameBytes, "the names have their bytes");
  require(plain.keywordOffsets.back() == plain.keywordRefs.size(), "the references are those of the messages");
  for (std::size_t file = 0; file < files.sizes.size(); ++file) {
    const bool taken = std::find(plain.files.begin(), plain.files.end(), file) != plain.files.end();
    require(taken || S_ISDIR(files.modes[file]), "no message is left out");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const Files files = filesOf(text);
  const sys::Fd fd(::memfd_create("mailbox", MFD_CLOEXEC));
  if (!fd.isOpen() || ::write(fd.get(), bytes, size) != static_cast<ssize_t>(size) ||
      ::lseek(fd.get(), 0, SEEK_SET) != 0)
    return -1;
  const plan::ScanColumns scan{files.names, files.offsets, files.sizes, files.modes, files.uids};
  const auto plain = plan::planPlain(fd.get(), scan, {8, false}, {1, 2});
  if (plain.has_value()) check(*plain, files);
  return 0;
}
