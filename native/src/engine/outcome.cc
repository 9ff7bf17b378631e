#include <errno.h>

#include "engine/types.h"

namespace mailhaul::engine {
namespace {

/// Errors that the next message would meet as well.
bool endsTheRun(int error) noexcept {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return true;
    default:
      return false;
  }
}

}  // namespace

Outcome sourceFailure(int error, const char* call) noexcept {
  if (endsTheRun(error)) return {MessageError::none, error, call};
  switch (error) {
    case ENOENT:
      return Outcome::fail(MessageError::vanished, error);
    case ELOOP:
    case ENXIO:
    case ENODEV:
    case EISDIR:
    case ENOTDIR:
      return Outcome::fail(MessageError::notRegular);
    default:
      return Outcome::fail(MessageError::unreadable, error);
  }
}

Outcome targetFailure(int error, const char* call) noexcept {
  if (endsTheRun(error) || error == EIO) return {MessageError::none, error, call};
  return Outcome::fail(MessageError::target, error);
}

}  // namespace mailhaul::engine
