// JavaScript values and the addon's types: everything that comes from JavaScript is checked here, once.
#pragma once

#include <napi.h>

#include <cstddef>
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

/// `what: an expected was expected`.
[[nodiscard]] Napi::Error wrong(Napi::Env env, const char* what, const char* expected);

/// The same of an array that the caller has for `count` elements or more: an object with names costs as much as the
/// system calls.
template <typename T>
[[nodiscard]] std::span<T> atLeast(Napi::Value value, std::size_t count, const char* what) {
  const std::span<T> array = elements<T>(value, what);
  if (array.size() < count) throw wrong(value.Env(), what, "more elements");
  return array;
}

/// The typed array `name` of `table`, of exactly `length` elements. Throws Napi::TypeError.
template <typename T>
[[nodiscard]] std::span<const T> column(Napi::Object table, const char* name, std::size_t length) {
  const std::span<T> all = elements<T>(table.Get(name), name);
  if (all.size() != length) throw wrong(table.Env(), name, "another number of elements");
  return all;
}

/// Offsets have to ascend within [0, limit]. Throws Napi::TypeError.
void checkOffsets(Napi::Env env, std::span<const std::uint32_t> offsets, std::size_t limit, const char* name);

/// A whole number of 32 bits. Throws Napi::TypeError.
[[nodiscard]] std::uint32_t uint32(Napi::Object object, const char* name);

/// Throws Napi::TypeError.
[[nodiscard]] bool boolean(Napi::Object object, const char* name);

/// MessageTable of types.ts. Throws Napi::Error when columns are missing, of another length or out of range.
[[nodiscard]] engine::MessageTable messageTable(Napi::Value value);

/// EngineInput of types.ts, likewise.
[[nodiscard]] engine::Folder folder(Napi::Value value);

/// Where the outcome of a folder goes, which JavaScript makes an object of (src/engine/native/output.ts): an object
/// with a dozen names, and a column each, cost more here than its messages. Checked before anything is moved; the
/// memory is the caller's until it is put.
class Output {
 public:
  /// Of a message: errno, method, error, in columns in this order.
  static constexpr std::size_t kBytes = sizeof(std::int32_t) + 2;
  static constexpr std::size_t kNumbers = 15;

  Output(Napi::Value columnBytes, Napi::Value numberArray, std::size_t count);
  /// Why the run has to halt, or null.
  [[nodiscard]] Napi::Value put(Napi::Env env, const engine::Result& result) const;

 private:
  std::span<std::uint8_t> columns_;
  std::span<double> numbers_;
};

/// A new Uint8Array with this content.
[[nodiscard]] Napi::Uint8Array bytes(Napi::Env env, std::span<const std::uint8_t> data);

/// A string whose bytes JavaScript has as ISO-8859-1. Throws Napi::TypeError.
[[nodiscard]] std::string text(Napi::Value value, const char* what);

/// One path component, whose bytes JavaScript has as ISO-8859-1. Throws Napi::TypeError.
[[nodiscard]] std::string component(Napi::Value value, const char* what);

/// A string with a character for each byte.
[[nodiscard]] Napi::Value latin1(Napi::Env env, const std::string& bytes);

}  // namespace mailhaul::js
