#include "plan/plain.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "plan/names.h"
#include "support.h"
#include "sys/fd.h"
#include "test.h"

using mailhaul::plan::NameKey;
using mailhaul::plan::Names;

namespace {

struct Packed {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint32_t> offsets{0};

  void add(const std::string& name) {
    bytes.insert(bytes.end(), name.begin(), name.end());
    offsets.push_back(static_cast<std::uint32_t>(bytes.size()));
  }
};

}  // namespace

TEST(HashOfNamesIsSipHash13) {
  // What CPython 3.11 gives, whose hash() of bytes is SipHash-1-3, with PYTHONHASHSEED=0: a key of zeros.
  using mailhaul::plan::hashName;
  const std::string ascending("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16", 15);
  CHECK_EQ(hashName("a", {}), 0x407448d2b89b1813u);
  CHECK_EQ(hashName("12345678", {}), 0x3489982430560a87u);
  CHECK_EQ(hashName(ascending, {}), 0xf30eb725bb91c9eau);
  CHECK_EQ(hashName(std::string(33, 'x'), {}), 0x2b6ef27943911384u);
  CHECK(hashName("a", {}) != hashName("a", {1, 0}) && hashName("a", {}) != hashName("a", {0, 1}));
}

TEST(NamesAreFoundInEveryOrder) {
  Packed packed;
  const std::size_t count = 3000;
  for (std::size_t i = 0; i < count; ++i) packed.add(std::to_string(i * 7919) + std::string(i % 20, 'x'));
  Names names(packed.bytes, packed.offsets, {1, 2});
  const auto nameOf = [](std::size_t i) { return std::to_string(i * 7919) + std::string(i % 20, 'x'); };
  bool found = true;
  for (std::size_t i = 0; i < count; ++i) found = found && names.find(nameOf(i)) == i;
  for (std::size_t i = count; i-- > 0;) found = found && names.find(nameOf(i)) == i;
  for (std::size_t i = 0; i < count; ++i) found = found && names.find(nameOf(i * 37 % count)) == i * 37 % count;
  CHECK(found);
  CHECK(names.find("absent") == Names::kNone && names.find("") == Names::kNone);
}

TEST(NoNameIsFoundAmongNone) {
  const Packed packed;
  Names names(packed.bytes, packed.offsets, {});
  CHECK(names.find("x") == Names::kNone);
}

TEST(AFolderOfManyReadsIsPlannedWhole) {
  mailhaul::test::TestFolder folder;
  Packed packed;
  std::vector<double> sizes;
  std::string index = "NSMB 3 5 1\n";
  const std::size_t count = 20'000;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = std::to_string(i) + std::string(i % 97, '-');
    packed.add(name);
    sizes.push_back(static_cast<double>(i + 1));
    index += std::to_string(3 * i + 1) + " 900000000 S,k" + std::to_string(i % 7) + " " + std::to_string(i + 1) + " " +
             name + "\n";
  }
  mailhaul::test::writeFile(folder.source / ".mailbox", index);
  const mailhaul::sys::Fd fd(::open((folder.source / ".mailbox").c_str(), O_RDONLY | O_CLOEXEC));
  const std::vector<std::uint32_t> modes(count, S_IFREG | 0600);
  const std::vector<std::uint32_t> uids(count, 8);
  const auto plain =
      mailhaul::plan::planPlain(fd.get(), {packed.bytes, packed.offsets, sizes, modes, uids}, {8, false}, {3, 4});
  CHECK(plain.has_value());
  if (!plain.has_value()) return;
  bool right = plain->files.size() == count && plain->keywords.size() == 7 && plain->nameBytes == packed.bytes.size();
  for (std::size_t i = 0; right && i < count; ++i) {
    right = plain->files[i] == i && plain->uids[i] == 3 * i + 1 && plain->keywordRefs[i] == i % 7;
  }
  CHECK(right);
}
