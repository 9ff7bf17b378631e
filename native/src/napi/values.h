// JavaScript values and the addon's types: everything that comes from JavaScript is checked here, once.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>

#include "engine/types.h"

namespace mailhaul::js {

/// An Error as Node makes them for system calls: `code`, negative `errno`, `syscall`.
[[nodiscard]] Napi::Error systemError(Napi::Env env, int error, const char* call);

/// Name of an errno, "E<number>" for one without a name here.
[[nodiscard]] std::string errorName(int error);

/// A descriptor number. Throws Napi::TypeError.
[[nodiscard]] int descriptor(Napi::Value value, const char* what);

/// A descriptor number, or -1 for none. Throws Napi::TypeError.
[[nodiscard]] int optionalDescriptor(Napi::Value value, const char* what);

/// The elements of a typed array, in place; they stay valid while the array does and nobody detaches it. Works for
/// arrays on a SharedArrayBuffer too. Throws Napi::TypeError.
template <typename T>
[[nodiscard]] std::span<T> elements(Napi::Value value, const char* what);

/// MessageTable of types.ts. Throws Napi::Error when columns are missing, of another length or out of range.
[[nodiscard]] engine::MessageTable messageTable(Napi::Value value);

/// EngineInput of types.ts, likewise.
[[nodiscard]] engine::Folder folder(Napi::Value value);

/// EngineOutput of types.ts.
[[nodiscard]] Napi::Object output(Napi::Env env, const engine::Result& result);

/// A new Uint8Array with this content.
[[nodiscard]] Napi::Uint8Array bytes(Napi::Env env, std::span<const std::uint8_t> data);

}  // namespace mailhaul::js
