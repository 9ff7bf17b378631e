#include <errno.h>

#include "engine/types.h"

namespace mailhaul::engine {

bool isLacking(int error) noexcept { return error == EMFILE || error == ENFILE || error == ENOMEM; }

bool Outcome::lacksDescriptors() const noexcept {
  return halt != nullptr && (errorNumber == EMFILE || errorNumber == ENFILE);
}

Outcome sourceFailure(int error, const char* call) noexcept {
  if (isLacking(error)) return {MessageError::none, error, call};
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
  const bool isFull = error == ENOSPC || error == EDQUOT || error == EROFS;
  if (isFull || isDeviceError(error) || isLacking(error)) return {MessageError::none, error, call};
  return Outcome::fail(MessageError::target, error);
}

bool isDeviceError(int error) noexcept {
  switch (error) {
    case EIO:
    case EUCLEAN:  // the file system says that it is damaged
    case ESTALE:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ESHUTDOWN:
    case EREMOTEIO:
      return true;
    default:
      return false;
  }
}

}  // namespace mailhaul::engine
