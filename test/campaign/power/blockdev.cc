// Disks whose every write and flush is logged: the ground of the power loss campaign.
//
//     blockdev <mount point> <log file> <image>…
//
// Mounts a FUSE file system that holds one file for each image, `disk0`, `disk1` …; a loop device on such a file is
// the disk. The file system under test is the kernel's own ext4 or xfs on that loop device, so it sees real syncfs;
// FUSE lies below the disk only. Without writeback cache each completed write of the loop device is one FUSE_WRITE,
// and the loop driver makes FUSE_FSYNC of each REQ_OP_FLUSH (it announces a write cache and no FUA, so the block
// layer makes flushes of FUA as well). dm-log-writes, nbd and ublk are not needed, and not used where they exist.
//
// The log, one record after the other in the order in which the disks got them, all disks in one order:
//
//     0   u32  0x4c57504d ("MPWL")          8   u32  disk
//     4   u32  1 write, 2 flush             12  u32  bytes of data, 0 for a flush
//     16  u64  offset on the disk           24  data
//
// Little-endian. A record is in the log before the disk answers: the size of the log is a moment in time for all
// disks. One thread serves everything, which is what makes the order total. Discards and other changes by
// fallocate are refused (ENOSYS), so nothing changes a disk that is not in the log.
//
// Prints "ready" when mounted; unmounts and ends when its standard input ends, as it does when the parent dies.
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::uint32_t kMagic = 0x4c57504d;
constexpr std::uint32_t kMaxWrite = 1u << 20;
constexpr std::size_t kBufferBytes = kMaxWrite + 65'536;
/// Seconds that the kernel may keep names and attributes: nothing but the kernel changes them.
constexpr std::uint64_t kForever = 86'400;

enum class Kind : std::uint32_t { write = 1, flush = 2 };

struct LogHeader {
  std::uint32_t magic;
  Kind kind;
  std::uint32_t disk;
  std::uint32_t bytes;
  std::uint64_t offset;
};
static_assert(sizeof(LogHeader) == 24);

class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

struct Disk {
  Descriptor image;
  std::uint64_t size;
};

[[nodiscard]] bool complain(std::string_view what) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(what.size()), what.data(), std::strerror(errno));
  return false;
}

class Server {
 public:
  Server(Descriptor device, Descriptor log, std::vector<Disk> disks)
      : device_(std::move(device)), log_(std::move(log)), disks_(std::move(disks)), buffer_(kBufferBytes) {}

  /// Serves until standard input ends or the file system is unmounted; false for an error.
  [[nodiscard]] bool run() {
    std::array<pollfd, 2> waiting{{{device_.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
    for (;;) {
      if (::poll(waiting.data(), waiting.size(), -1) < 0) {
        if (errno == EINTR) continue;
        return complain("poll");
      }
      if ((waiting[0].revents & POLLERR) != 0) return true;  // unmounted
      if (waiting[0].revents != 0) {
        const ssize_t got = ::read(device_.get(), buffer_.data(), buffer_.size());
        if (got < 0) {
          if (errno == EINTR || errno == EAGAIN || errno == ENOENT) continue;
          return errno == ENODEV || complain("read of /dev/fuse");
        }
        if (!serve(static_cast<std::size_t>(got))) return false;
      } else if (waiting[1].revents != 0) {
        std::array<char, 64> ignored{};
        if (::read(STDIN_FILENO, ignored.data(), ignored.size()) <= 0) return true;
      }
    }
  }

 private:
  template <typename T>
  [[nodiscard]] const T& argument() const noexcept {
    return *reinterpret_cast<const T*>(buffer_.data() + sizeof(fuse_in_header));
  }

  [[nodiscard]] bool serve(std::size_t bytes) {
    if (bytes < sizeof(fuse_in_header)) return complain("short request");
    const auto& request = *reinterpret_cast<const fuse_in_header*>(buffer_.data());
    switch (request.opcode) {
      case FUSE_INIT:
        return init(request);
      case FUSE_LOOKUP:
        return lookup(request);
      case FUSE_GETATTR:
      case FUSE_SETATTR:
        return attributes(request);
      case FUSE_OPEN:
      case FUSE_OPENDIR: {
        fuse_open_out out{};
        out.open_flags = FOPEN_KEEP_CACHE;
        return reply(request, &out, sizeof out);
      }
      case FUSE_READ:
        return read(request);
      case FUSE_WRITE:
        return write(request);
      case FUSE_FSYNC:
        return flush(request);
      case FUSE_FLUSH:
      case FUSE_RELEASE:
      case FUSE_RELEASEDIR:
      case FUSE_FSYNCDIR:
      case FUSE_ACCESS:
        return reply(request, nullptr, 0);
      case FUSE_STATFS: {
        fuse_statfs_out out{};
        out.st.bsize = 4096;
        out.st.namelen = 255;
        return reply(request, &out, sizeof out);
      }
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return true;  // they want no answer
      default:
        return refuse(request, ENOSYS);
    }
  }

  [[nodiscard]] bool init(const fuse_in_header& request) {
    const auto& in = argument<fuse_init_in>();
    fuse_init_out out{};
    out.major = FUSE_KERNEL_VERSION;
    out.minor = std::min<std::uint32_t>(in.minor, FUSE_KERNEL_MINOR_VERSION);
    out.max_readahead = in.max_readahead;
    // Not FUSE_WRITEBACK_CACHE: a write must be here before the loop device says that it is done.
    out.flags = in.flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ);
    out.max_background = 64;
    out.congestion_threshold = 48;
    out.max_write = kMaxWrite;
    out.time_gran = 1;
    out.max_pages = kMaxWrite / 4096;
    return reply(request, &out, sizeof out);
  }

  /// Node 1 is the root, node 2 + n is disk n.
  [[nodiscard]] fuse_attr attributesOf(std::uint64_t node) const noexcept {
    fuse_attr attributes{};
    attributes.ino = node;
    attributes.blksize = 4096;
    attributes.nlink = 1;
    if (node == FUSE_ROOT_ID) {
      attributes.mode = S_IFDIR | 0700;
    } else {
      attributes.mode = S_IFREG | 0600;
      attributes.size = disks_[node - 2].size;
      attributes.blocks = attributes.size / 512;
    }
    return attributes;
  }

  [[nodiscard]] bool isDisk(std::uint64_t node) const noexcept { return node >= 2 && node - 2 < disks_.size(); }

  [[nodiscard]] bool lookup(const fuse_in_header& request) {
    const std::string_view name(reinterpret_cast<const char*>(buffer_.data() + sizeof request));
    for (std::size_t i = 0; i < disks_.size(); ++i) {
      if (name != "disk" + std::to_string(i)) continue;
      fuse_entry_out out{};
      out.nodeid = i + 2;
      out.generation = 1;
      out.entry_valid = kForever;
      out.attr_valid = kForever;
      out.attr = attributesOf(out.nodeid);
      return reply(request, &out, sizeof out);
    }
    return refuse(request, ENOENT);
  }

  [[nodiscard]] bool attributes(const fuse_in_header& request) {
    if (request.nodeid != FUSE_ROOT_ID && !isDisk(request.nodeid)) return refuse(request, ENOENT);
    // A disk keeps its size.
    if (request.opcode == FUSE_SETATTR && (argument<fuse_setattr_in>().valid & FATTR_SIZE) != 0)
      return refuse(request, EPERM);
    fuse_attr_out out{};
    out.attr_valid = kForever;
    out.attr = attributesOf(request.nodeid);
    return reply(request, &out, sizeof out);
  }

  [[nodiscard]] bool read(const fuse_in_header& request) {
    if (!isDisk(request.nodeid)) return refuse(request, EISDIR);
    const auto& in = argument<fuse_read_in>();
    answer_.resize(in.size);
    const ssize_t got =
        ::pread(disks_[request.nodeid - 2].image.get(), answer_.data(), in.size, static_cast<off_t>(in.offset));
    if (got < 0) return refuse(request, EIO);
    return reply(request, answer_.data(), static_cast<std::size_t>(got));
  }

  [[nodiscard]] bool write(const fuse_in_header& request) {
    if (!isDisk(request.nodeid)) return refuse(request, EISDIR);
    const auto& in = argument<fuse_write_in>();
    const std::uint8_t* data = buffer_.data() + sizeof request + sizeof in;
    const Disk& disk = disks_[request.nodeid - 2];
    if (in.offset > disk.size || in.size > disk.size - in.offset) return refuse(request, ENOSPC);
    if (!log({kMagic, Kind::write, static_cast<std::uint32_t>(request.nodeid - 2), in.size, in.offset}, data))
      return false;
    for (std::uint32_t done = 0; done < in.size;) {
      const ssize_t put = ::pwrite(disk.image.get(), data + done, in.size - done, static_cast<off_t>(in.offset + done));
      if (put <= 0) return complain("write of the image");
      done += static_cast<std::uint32_t>(put);
    }
    fuse_write_out out{};
    out.size = in.size;
    return reply(request, &out, sizeof out);
  }

  [[nodiscard]] bool flush(const fuse_in_header& request) {
    if (isDisk(request.nodeid) &&
        !log({kMagic, Kind::flush, static_cast<std::uint32_t>(request.nodeid - 2), 0, 0}, nullptr))
      return false;
    return reply(request, nullptr, 0);
  }

  [[nodiscard]] bool log(const LogHeader& header, const std::uint8_t* data) {
    std::array<iovec, 2> parts{
        {{const_cast<LogHeader*>(&header), sizeof header}, {const_cast<std::uint8_t*>(data), header.bytes}}};
    const ssize_t put = ::writev(log_.get(), parts.data(), header.bytes == 0 ? 1 : 2);
    return put == static_cast<ssize_t>(sizeof header + header.bytes) || complain("write of the log");
  }

  [[nodiscard]] bool refuse(const fuse_in_header& request, int error) {
    fuse_out_header header{};
    header.len = sizeof header;
    header.error = -error;
    header.unique = request.unique;
    return send(&header, sizeof header, nullptr, 0);
  }

  [[nodiscard]] bool reply(const fuse_in_header& request, const void* data, std::size_t bytes) {
    fuse_out_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + bytes);
    header.unique = request.unique;
    return send(&header, sizeof header, data, bytes);
  }

  [[nodiscard]] bool send(const void* header, std::size_t headerBytes, const void* data, std::size_t bytes) {
    std::array<iovec, 2> parts{{{const_cast<void*>(header), headerBytes}, {const_cast<void*>(data), bytes}}};
    if (::writev(device_.get(), parts.data(), bytes == 0 ? 1 : 2) >= 0) return true;
    // The caller was interrupted, or the file system is gone, which the next read tells.
    return errno == ENOENT || errno == ENODEV || complain("answer to /dev/fuse");
  }

  Descriptor device_;
  Descriptor log_;
  std::vector<Disk> disks_;
  std::vector<std::uint8_t> buffer_;
  std::vector<std::uint8_t> answer_;
};

[[nodiscard]] bool serve(const char* mountPoint, const char* logFile, const std::vector<const char*>& images) {
  Descriptor log(::open(logFile, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (log.get() < 0) return complain(logFile);
  std::vector<Disk> disks;
  for (const char* image : images) {
    Descriptor file(::open(image, O_RDWR | O_CLOEXEC));
    struct stat st {};
    if (file.get() < 0 || ::fstat(file.get(), &st) != 0) return complain(image);
    disks.push_back({std::move(file), static_cast<std::uint64_t>(st.st_size)});
  }
  Descriptor device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (device.get() < 0) return complain("/dev/fuse");
  const std::string options = "fd=" + std::to_string(device.get()) +
                              ",rootmode=40700,user_id=0,group_id=0,max_read=" + std::to_string(kMaxWrite);
  if (::mount("mailhaul-power", mountPoint, "fuse.mailhaul-power", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return complain(mountPoint);
  std::puts("ready");
  std::fflush(stdout);
  const bool good = Server(std::move(device), std::move(log), std::move(disks)).run();
  ::umount2(mountPoint, MNT_DETACH);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: blockdev <mount point> <log file> <image>...\n", stderr);
    return 2;
  }
  // Interrupting the campaign interrupts its process group: the disks must last until it has unmounted them.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  return serve(argv[1], argv[2], {argv + 3, argv + argc}) ? 0 : 1;
}
