#include "engine/remove.h"

#include <errno.h>
#include <sys/stat.h>

#include "engine/source.h"
#include "sys/calls.h"
#include "sys/pace.h"

namespace mailhaul::engine {

Removal removeSources(int sourceFd, const MessageTable& messages, std::span<const std::uint8_t> remove) {
  Removal result;
  NameBuffer buffer;
  for (std::uint32_t i = 0; i < messages.count; ++i) {
    if (remove[i] != 1) continue;
    sys::settle();
    const char* name = fileName(messages.name(i), buffer);
    struct stat st {};
    int error = name == nullptr ? EINVAL : sys::statAt(sourceFd, name, st);
    if (error == 0 && !(S_ISREG(st.st_mode) && recordOf(messages, i).matches(st))) {
      result.kept.push_back({i, 0});
      continue;
    }
    if (error == 0) error = sys::unlinkAt(sourceFd, name);
    if (error == ENOENT) {
      ++result.missing;
    } else if (error != 0) {
      result.kept.push_back({i, error});
    } else {
      ++result.removed;
      result.bytes += static_cast<std::uint64_t>(st.st_size);
    }
  }
  return result;
}

}  // namespace mailhaul::engine
