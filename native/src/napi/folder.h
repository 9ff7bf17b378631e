// A folder as JavaScript sees it: its directory (DirectoryScan of src/engine/types.ts) and its plan.
#pragma once

#include <napi.h>

#include "plan/plain.h"
#include "scan/scan.h"

namespace mailhaul::js {

/// A new DirectoryScan.
[[nodiscard]] Napi::Object scanObject(Napi::Env env, const scan::Scan& found);

/// PlainFolder of src/engine/types.ts for the DirectoryScan `scan`, or null when it is not plain.
/// Throws Napi::TypeError when that is none.
[[nodiscard]] Napi::Value plainFolder(Napi::Object scan, int indexFd, const plan::Rules& rules,
                                      const plan::NameKey& key);

}  // namespace mailhaul::js
