// The floor of the machine: what a migration by these calls cannot be faster than. Every file of a tree is opened, read
// whole, digested, closed and linked into another tree (written there, when that is on another file system); for each
// as many bytes as an index record has are written; one syncfs a target at the end. No parsing, no records, no
// database, no checks. `cold`: kAhead files are asked for before the first of them is read.
//
//     floor <threads> <index bytes a message> warm|cold <source> <target> [<source> <target> …]
//
//     <source>/…/<folder>/<file>   ─▶   <target>/<n>/<nn>/<file>,  <target>/<n>/index
//
// The directories with files are listed first, by one thread; then the threads take folders, largest first, each alone:
// what a mover does that has perfect knowledge. Prints messages, bytes and seconds. Exit 1 names what failed.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#define XXH_INLINE_ALL
#include "xxhash/xxhash.h"

namespace {

// Messages of a 4.x hash directory (4x-store.md, Layout).
constexpr std::size_t kMessagesPerDirectory = 100;

// In the order of inodes, so that the disk can go along.
constexpr std::size_t kAhead = 64;

struct Entry {
  std::string name;
  ino_t inode;
};

struct Folder {
  std::string path;
  std::string target;
  std::vector<Entry> files;
};

[[noreturn]] void fail(const char* call, const std::string& path) {
  std::fprintf(stderr, "floor: %s %s: %s\n", call, path.c_str(), std::strerror(errno));
  std::_Exit(1);
}

void listFolders(const std::string& path, const std::string& target, std::vector<Folder>& folders) {
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) fail("opendir", path);
  Folder folder{path, target, {}};
  std::vector<std::string> below;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    if (entry->d_type == DT_DIR) below.push_back(path + '/' + entry->d_name);
    if (entry->d_type == DT_REG) folder.files.push_back({entry->d_name, entry->d_ino});
  }
  ::closedir(dir);
  if (!folder.files.empty()) folders.push_back(std::move(folder));
  for (const std::string& one : below) listFolders(one, target, folders);
}

class Worker {
 public:
  Worker(std::size_t indexBytes, bool cold)
      : indexBytes_(indexBytes), opened_(cold ? kAhead : 1), buffer_(std::size_t{1} << 20) {}

  std::uint64_t bytes = 0;

  void move(Folder& folder, std::size_t number) {
    const std::string target = folder.target + '/' + std::to_string(number);
    if (::mkdir(target.c_str(), 0700) != 0) fail("mkdir", target);
    const int source = ::open(folder.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int to = ::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source < 0 || to < 0) fail("open", folder.path);
    std::sort(folder.files.begin(), folder.files.end(),
              [](const Entry& a, const Entry& b) { return a.inode < b.inode; });
    int hash = -1;
    std::vector<std::uint8_t> index;
    index.reserve(folder.files.size() * indexBytes_);
    for (std::size_t i = 0; i < folder.files.size(); ++i) {
      const std::string& name = folder.files[i].name;
      if (i % opened_.size() == 0) openAhead(source, folder, i);
      const std::size_t size = read(opened_[i % opened_.size()], name);
      const XXH128_hash_t digest = XXH3_128bits(buffer_.data(), size);
      index.resize(index.size() + indexBytes_, static_cast<std::uint8_t>(digest.low64));
      if (i % kMessagesPerDirectory == 0) {
        if (hash >= 0) ::close(hash);
        hash = makeHash(to, i / kMessagesPerDirectory);
      }
      if (::linkat(source, name.c_str(), hash, name.c_str(), 0) != 0) {
        if (errno != EXDEV) fail("linkat", name);
        write(hash, name.c_str(), {buffer_.data(), size});
      }
      bytes += size;
    }
    write(to, "index", {index.data(), index.size()});
    if (hash >= 0) ::close(hash);
    ::close(to);
    ::close(source);
  }

 private:
  struct Bytes {
    const std::uint8_t* data;
    std::size_t size;
  };

  void openAhead(int dir, const Folder& folder, std::size_t from) {
    for (std::size_t k = 0; k < opened_.size() && from + k < folder.files.size(); ++k) {
      const std::string& name = folder.files[from + k].name;
      opened_[k] = ::openat(dir, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
      if (opened_[k] < 0) fail("openat", name);
      if (opened_.size() > 1) ::posix_fadvise(opened_[k], 0, 0, POSIX_FADV_WILLNEED);
    }
  }

  std::size_t read(int fd, const std::string& name) {
    std::size_t size = 0;
    for (;;) {
      const ssize_t got = ::read(fd, buffer_.data() + size, buffer_.size() - size);
      if (got < 0) fail("read", name);
      size += static_cast<std::size_t>(got);
      // A read that does not fill the buffer was the last one of a regular file.
      if (size < buffer_.size()) break;
      buffer_.resize(buffer_.size() * 2);
    }
    ::close(fd);
    return size;
  }

  static int makeHash(int to, std::size_t number) {
    const std::string name = std::to_string(number);
    if (::mkdirat(to, name.c_str(), 0700) != 0) fail("mkdirat", name);
    const int fd = ::openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail("openat", name);
    return fd;
  }

  static void write(int dir, const std::string& name, Bytes content) {
    const int fd = ::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) fail("openat", name);
    for (std::size_t done = 0; done < content.size;) {
      const ssize_t put = ::write(fd, content.data + done, content.size - done);
      if (put < 0) fail("write", name);
      done += static_cast<std::size_t>(put);
    }
    ::close(fd);
  }

  std::size_t indexBytes_;
  // Descriptors.
  std::vector<int> opened_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6 || argc % 2 != 0) {
    std::fprintf(stderr, "usage: floor <threads> <index bytes a message> warm|cold <source> <target> [<source> …]\n");
    return 2;
  }
  const auto started = std::chrono::steady_clock::now();
  const auto indexBytes = static_cast<std::size_t>(std::atol(argv[2]));
  std::vector<Folder> folders;
  const bool cold = std::strcmp(argv[3], "cold") == 0;
  for (int i = 4; i < argc; i += 2) {
    if (::mkdir(argv[i + 1], 0700) != 0) fail("mkdir", argv[i + 1]);
    listFolders(argv[i], argv[i + 1], folders);
  }
  std::sort(folders.begin(), folders.end(),
            [](const Folder& a, const Folder& b) { return a.files.size() > b.files.size(); });
  std::atomic<std::size_t> next{0};
  std::atomic<std::uint64_t> bytes{0};
  std::uint64_t messages = 0;
  for (const Folder& folder : folders) messages += folder.files.size();
  std::vector<std::thread> threads;
  for (long t = std::max(1L, std::atol(argv[1])); t > 0; --t) {
    threads.emplace_back([&] {
      Worker worker(indexBytes, cold);
      for (std::size_t i = next++; i < folders.size(); i = next++) worker.move(folders[i], i);
      bytes += worker.bytes;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 5; i < argc; i += 2) {
    const int target = ::open(argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target < 0 || ::syncfs(target) != 0) fail("syncfs", argv[i]);
    ::close(target);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
  std::printf("{\"messages\":%llu,\"bytes\":%llu,\"seconds\":%.6f}\n", static_cast<unsigned long long>(messages),
              static_cast<unsigned long long>(bytes.load()), taken.count());
  return 0;
}
