#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "sys/calls.h"
#include "test.h"

namespace mailhaul::test {
namespace {

std::filesystem::path makeTemporary(std::string_view parent) {
  std::string name = std::string(parent) + "/mailhaul-test-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::filesystem::filesystem_error("mkdtemp", name, {});
  return name;
}

sys::Fd openDirectory(const std::filesystem::path& path) {
  return sys::Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

TestFolder::TestFolder(std::string_view parent, std::string_view targetParent)
    : root(makeTemporary(parent)),
      source(root / "INBOX"),
      targetRoot(makeTemporary(targetParent)),
      targetDirectory(targetRoot / "=user"),
      single(targetRoot / "=single") {
  for (const auto& path : {source, targetDirectory, single}) std::filesystem::create_directory(path);
  sourceFd_ = openDirectory(source);
  targetFd_ = openDirectory(targetDirectory);
  singleFd_ = openDirectory(single);
}

TestFolder::~TestFolder() {
  std::filesystem::remove_all(root);
  std::filesystem::remove_all(targetRoot);
}

void TestFolder::add(std::uint32_t uid, const std::string& name, std::string_view content) {
  writeFile(source / name, content);
  ::chmod((source / name).c_str(), 0600);
  record(uid, name);
}

void TestFolder::addLink(std::uint32_t uid, const std::string& name, const std::string& of) {
  std::filesystem::create_hard_link(source / of, source / name);
  record(uid, name);
}

void TestFolder::record(std::uint32_t uid, const std::string& name) {
  struct stat st {};
  if (::lstat((source / name).c_str(), &st) != 0) throw std::filesystem::filesystem_error("lstat", source / name, {});
  uids_.push_back(uid);
  dates_.push_back(900'000'000.0 + uid);
  flags_.push_back(uid % 32);
  keywordOffsets_.push_back(0);
  names_.insert(names_.end(), name.begin(), name.end());
  nameOffsets_.push_back(static_cast<std::uint32_t>(names_.size()));
  inodes_.push_back(st.st_ino);
  sizes_.push_back(static_cast<double>(st.st_size));
  mtimes_.push_back(sys::modifiedNs(st));
  refused_.push_back(0);
}

engine::Folder TestFolder::input(bool resumed) {
  engine::Folder folder;
  folder.sourceFd = sourceFd_.get();
  folder.targetFd = targetFd_.get();
  folder.singleFd = singleFd_.get();
  folder.uidvalidity = 7;
  folder.uidnext = uids_.empty() ? 1 : uids_.back() + 1;
  folder.messages.count = static_cast<std::uint32_t>(uids_.size());
  folder.messages.uids = uids_;
  folder.messages.internalDates = dates_;
  folder.messages.flags = flags_;
  folder.messages.keywordOffsets = keywordOffsets_;
  folder.messages.names = names_;
  folder.messages.nameOffsets = nameOffsets_;
  folder.messages.inodes = inodes_;
  folder.messages.sizes = sizes_;
  folder.messages.mtimes = mtimes_;
  folder.messages.refused = refused_;
  folder.owner = {::geteuid(), ::getegid(), ::geteuid() == 0};
  folder.resumed = resumed;
  folder.progress = progress_.data();
  return folder;
}

std::map<std::string, std::string> TestFolder::target() const {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(targetDirectory)) {
    if (entry.is_directory()) continue;
    files[std::filesystem::relative(entry.path(), targetDirectory)] = readFile(entry.path());
  }
  return files;
}

engine::Result migrate(const engine::Folder& folder) {
  engine::Scratch scratch;
  return engine::migrate(folder, scratch);
}

std::ptrdiff_t openDescriptors() { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); }

FewDescriptors::FewDescriptors(int spare) {
  CHECK_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
  const rlimit few{static_cast<rlim_t>(openDescriptors() + spare), before_.rlim_max};
  CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
}

FewDescriptors::~FewDescriptors() { CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

std::string readFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void writeFile(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace mailhaul::test
