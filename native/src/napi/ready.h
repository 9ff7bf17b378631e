// The binding of plan/ready.h.
#pragma once

#include <napi.h>

namespace mailhaul::js {

/// makeReady of src/fs/addon.ts.
[[nodiscard]] Napi::Value makeReady(const Napi::CallbackInfo& info);

/// stamp of src/fs/addon.ts.
[[nodiscard]] Napi::Value stamp(const Napi::CallbackInfo& info);

}  // namespace mailhaul::js
