// Calls that say "durable" and do nothing: a shared object for LD_PRELOAD, with which a run loses its syncs one kind at
// a time. What a program without that sync leaves after a power loss the campaign must notice.
//
//     POWER_LIES=<call>:<pattern>[,<call>:<pattern>]…
//
// `call` is syncfs, fsync, fdatasync or dsync (O_DSYNC of open); `pattern` is one of fnmatch(3) for the path of the
// file, in which * stands for slashes, too. All other calls do what they do.
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

bool lies(std::string_view call, const std::string& path) {
  const char* setting = std::getenv("POWER_LIES");
  std::string_view rest = setting == nullptr ? "" : setting;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto lie = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    const auto colon = lie.find(':');
    if (colon == std::string_view::npos || lie.substr(0, colon) != call) continue;
    if (::fnmatch(std::string(lie.substr(colon + 1)).c_str(), path.c_str(), 0) == 0) return true;
  }
  return false;
}

bool lies(std::string_view call, int fd) {
  std::array<char, 4096> path{};
  const auto link = "/proc/self/fd/" + std::to_string(fd);
  const auto length = ::readlink(link.c_str(), path.data(), path.size());
  return length > 0 && lies(call, std::string(path.data(), static_cast<std::size_t>(length)));
}

int sync(const char* call, int fd) { return lies(call, fd) ? 0 : next<int (*)(int)>(call)(fd); }

int openWithout(const char* call, const char* path, int flags, mode_t mode) {
  const int kept = (flags & O_DSYNC) != 0 && lies("dsync", path) ? flags & ~O_SYNC : flags;
  return next<int (*)(const char*, int, ...)>(call)(path, kept, mode);
}

mode_t modeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

int syncfs(int fd) noexcept { return sync("syncfs", fd); }
int fsync(int fd) { return sync("fsync", fd); }
int fdatasync(int fd) { return sync("fdatasync", fd); }

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = modeOf(flags, arguments);
  va_end(arguments);
  return openWithout("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = modeOf(flags, arguments);
  va_end(arguments);
  return openWithout("open64", path, flags, mode);
}

}  // extern "C"
