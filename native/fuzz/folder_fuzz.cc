// The engine on a hostile folder and a hostile table: names, kinds and contents of the files, and every column that
// the addon's boundary lets through, come from the input. Promises: nothing outside the mailbox directory appears or
// changes, no 3.x name goes but by removeSources, an index keeps store-idx.md, and a second run changes nothing.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "engine/migrate.h"
#include "engine/remove.h"
#include "index_check.h"
#include "scan/scan.h"
#include "sys/calls.h"

namespace fs = std::filesystem;
using mailhaul::fuzz::require;
using namespace mailhaul;

namespace {

/// Takes the input apart; zeros when it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; i++) value |= static_cast<std::uint64_t>(byte()) << (8 * i);
    return value;
  }
  std::string text(std::size_t limit) {
    const std::size_t bytes = std::min({limit, static_cast<std::size_t>(byte()), size_ - at_});
    std::string out(reinterpret_cast<const char*>(data_ + at_), bytes);
    at_ += bytes;
    return out;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

struct Directory {
  fs::path path;
  sys::Fd fd;
};

Directory makeDirectory(const fs::path& path) {
  fs::create_directory(path);
  return {path, sys::Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
}

/// One for all inputs, where the campaign has its place.
const fs::path& world() {
  static const fs::path path = [] {
    const char* place = std::getenv("MAILHAUL_FUZZ_PLACE");
    std::string name = (place != nullptr ? place : "/tmp") + std::string("/mailhaul-fuzz-XXXXXX");
    require(::mkdtemp(name.data()) != nullptr, "there is a place for files");
    static fs::path made = name;
    std::atexit([] { fs::remove_all(made); });
    return made;
  }();
  return path;
}

/// A file of 3.x: a message, or what an attacker puts in its place. A name that the file system refuses is no file.
void makeFile(Input& input, const Directory& source, const std::string& name, bool& made) {
  const std::uint8_t kind = input.byte() % 12;
  const std::string content = input.text(200);
  made = false;
  if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos) return;
  if (kind == 0) {
    made = ::symlinkat("../canary", source.fd.get(), name.c_str()) == 0;
  } else if (kind == 1) {
    made = ::mkfifoat(source.fd.get(), name.c_str(), 0600) == 0;
  } else if (kind == 2) {
    made = ::mkdirat(source.fd.get(), name.c_str(), 0700) == 0;
  } else {
    const mode_t mode = kind == 3 ? 0666 : 0600;
    const int fd = ::openat(source.fd.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    made = fd >= 0;
    if (!made) return;
    require(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()), "a file is written");
    ::fchmod(fd, mode);
    if (kind == 4) require(::fchown(fd, 12345, 12345) == 0, "root gives a file away");
    ::close(fd);
  }
}

struct Columns {
  std::vector<std::uint32_t> uids, flags, keywordOffsets{0}, keywordRefs, nameOffsets{0};
  std::vector<double> dates, sizes;
  std::vector<std::uint8_t> names, refused;
  std::vector<std::uint64_t> inodes;
  std::vector<std::int64_t> mtimes;
  std::array<std::int32_t, 16> progress{};

  /// One row; mostly what is true of the file, sometimes anything. The boundary keeps uids ascending and dates sane.
  void add(Input& input, int dir, const std::string& name) {
    struct stat st {};
    const bool there = name.find('\0') == std::string::npos && !name.empty() && sys::statAt(dir, name.c_str(), st) == 0;
    const std::uint8_t lies = input.byte();
    const std::uint32_t last = uids.empty() ? 0 : uids.back();
    const std::uint64_t step = 1 + ((lies & 1U) != 0 ? input.number(4) : 0);
    const std::uint64_t uid = std::min<std::uint64_t>(last + step, UINT32_MAX);
    if (uid <= last) return;
    uids.push_back(static_cast<std::uint32_t>(uid));
    dates.push_back((lies & 2U) != 0 ? static_cast<double>(static_cast<std::int64_t>(input.number(6))) - 1e14 : 9e8);
    flags.push_back(static_cast<std::uint32_t>((lies & 4U) != 0 ? input.number(4) : 1));
    inodes.push_back((lies & 8U) != 0 ? input.number(8) : (there ? st.st_ino : 0));
    sizes.push_back((lies & 16U) != 0 ? number(input) : static_cast<double>(there ? st.st_size : 0));
    mtimes.push_back((lies & 32U) != 0 ? static_cast<std::int64_t>(input.number(8))
                                       : (there ? sys::modifiedNs(st) : 0));
    refused.push_back((lies & 64U) != 0 ? static_cast<std::uint8_t>(input.byte() % 8) : std::uint8_t{0});
    if ((lies & 128U) != 0) keywordRefs.insert(keywordRefs.end(), {0, 1});
    keywordOffsets.push_back(static_cast<std::uint32_t>(keywordRefs.size()));
    names.insert(names.end(), name.begin(), name.end());
    nameOffsets.push_back(static_cast<std::uint32_t>(names.size()));
  }

  engine::MessageTable table() const {
    engine::MessageTable out;
    out.count = static_cast<std::uint32_t>(uids.size());
    out.uids = uids;
    out.internalDates = dates;
    out.flags = flags;
    out.keywordOffsets = keywordOffsets;
    out.keywordRefs = keywordRefs;
    out.names = names;
    out.nameOffsets = nameOffsets;
    out.inodes = inodes;
    out.sizes = sizes;
    out.mtimes = mtimes;
    out.refused = refused;
    return out;
  }

 private:
  static double number(Input& input) {
    const std::uint64_t bits = input.number(8);
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

/// Path below `root` → what it is; the content of files is not needed, their inode and size tell.
std::map<std::string, std::string> picture(const fs::path& root) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    struct stat st {};
    require(::lstat(entry.path().c_str(), &st) == 0, "what was listed is there");
    out[entry.path().lexically_relative(root).string()] =
        std::to_string(st.st_ino) + ' ' + std::to_string(st.st_size) + ' ' + std::to_string(sys::modifiedNs(st));
  }
  return out;
}

void checkListing(const Directory& source, std::size_t files) {
  scan::Scan found;
  require(scan::scan(source.fd.get(), 0, found) == 0, "a directory can be scanned");
  std::size_t visible = 0;
  for (const auto& entry : fs::directory_iterator(source.path)) visible += entry.path().filename().string()[0] != '.';
  require(found.rows.size() == visible && visible <= files, "every visible name is listed once");
}

std::vector<std::uint8_t> indexOf(const Directory& target) {
  std::vector<std::uint8_t> bytes;
  sys::Fd file;
  struct stat st {};
  if (sys::openRead(target.fd.get(), "store.idx", file) != 0) return bytes;
  require(sys::statFd(file.get(), st) == 0, "the index can be read");
  bytes.resize(static_cast<std::size_t>(st.st_size));
  std::size_t got = 0;
  require(sys::readFull(file.get(), bytes, got) == 0 && got == bytes.size(), "the index can be read");
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const fs::path root = world() / "one";
  fs::remove_all(root);
  fs::create_directory(root);
  const Directory source = makeDirectory(root / "INBOX");
  const Directory target = makeDirectory(root / "target");
  const Directory single = makeDirectory(root / "single");
  sys::Fd canary(::open((root / "canary").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

  const std::uint8_t options = input.byte();
  const std::size_t count = input.byte() % 12;
  Columns columns;
  std::vector<std::string> names;
  std::size_t files = 0;
  for (std::size_t i = 0; i < count; i++) {
    const std::string name = input.text(255);
    bool made = false;
    makeFile(input, source, name, made);
    files += made ? 1 : 0;
    names.push_back(name);
  }
  for (const std::string& name : names) columns.add(input, source.fd.get(), name);
  checkListing(source, files);

  const std::string admin = input.text(60);
  engine::Folder folder;
  folder.sourceFd = source.fd.get();
  folder.targetFd = target.fd.get();
  folder.singleFd = (options & 1U) != 0 ? single.fd.get() : -1;
  folder.uidvalidity = static_cast<std::uint32_t>(input.number(4));
  folder.uidnext = static_cast<std::uint32_t>(input.number(4));
  folder.keywords = {input.text(20), input.text(20)};
  folder.admin = {reinterpret_cast<const std::uint8_t*>(admin.data()), admin.size()};
  folder.messages = columns.table();
  folder.owner = {::geteuid(), ::getegid(), (options & 2U) != 0};
  folder.takeForeign = (options & 4U) != 0;
  folder.publishWithFailures = (options & 8U) != 0;
  folder.resumed = (options & 16U) != 0;
  folder.progress = columns.progress.data();

  const auto before = picture(source.path);
  engine::Scratch scratch;
  const engine::Result first = engine::migrate(folder, scratch);
  require(first.methods.size() == folder.messages.count, "every row has a result");
  if (!folder.takeForeign && (options & 2U) == 0) require(picture(source.path) == before, "no 3.x name is touched");
  for (const auto& [path, what] : before) require(picture(source.path).contains(path), "no 3.x name goes");
  const std::vector<std::uint8_t> index = indexOf(target);
  require(first.published == !index.empty(), "an index is there when it was published");
  if (first.published) {
    const std::uint32_t listed = fuzz::checkIndex(index);
    const auto good =
        static_cast<std::uint32_t>(std::count(first.errors.begin(), first.errors.end(), engine::MessageError::none));
    require(listed == good && listed == first.summary.messages, "the index lists the messages that came over");
  }
  folder.resumed = true;
  const engine::Result second = engine::migrate(folder, scratch);
  require(second.errors == first.errors, "a second run finds the same");
  require(indexOf(target) == index, "a second run writes the same index");

  std::vector<std::uint8_t> remove(folder.messages.count);
  for (std::size_t i = 0; i < remove.size(); i++) remove[i] = first.errors[i] == engine::MessageError::none ? 1 : 0;
  const engine::Removal removal = engine::removeSources(source.fd.get(), folder.messages, remove);
  require(before.size() - picture(source.path).size() == removal.removed, "only removed names go");
  struct stat st {};
  require(::lstat((root / "canary").c_str(), &st) == 0 && st.st_size == 0 && st.st_nlink == 1,
          "nothing outside changes");
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    require(name == "INBOX" || name == "target" || name == "single" || name == "canary", "nothing outside appears");
  }
  return 0;
}
