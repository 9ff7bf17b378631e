#include "napi/values.h"

#include <errno.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

namespace mailhaul::js {
namespace {

template <typename T>
constexpr napi_typedarray_type arrayType() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return napi_uint8_array;
  if constexpr (std::is_same_v<T, std::int32_t>) return napi_int32_array;
  if constexpr (std::is_same_v<T, std::uint32_t>) return napi_uint32_array;
  if constexpr (std::is_same_v<T, double>) return napi_float64_array;
  if constexpr (std::is_same_v<T, std::uint64_t>) return napi_biguint64_array;
  if constexpr (std::is_same_v<T, std::int64_t>) return napi_bigint64_array;
}

std::vector<std::string> strings(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsArray()) throw wrong(object.Env(), name, "an array of strings");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> out;
  out.reserve(array.Length());
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value element = array.Get(i);
    if (!element.IsString()) throw wrong(object.Env(), name, "an array of strings");
    out.push_back(element.As<Napi::String>().Utf8Value());
  }
  return out;
}

}  // namespace

Napi::Error wrong(Napi::Env env, const char* what, const char* expected) {
  return Napi::TypeError::New(env, std::string(what) + ": " + expected + " was expected");
}

void checkOffsets(Napi::Env env, std::span<const std::uint32_t> offsets, std::size_t limit, const char* name) {
  std::uint32_t last = 0;
  for (const std::uint32_t offset : offsets) {
    if (offset < last || offset > limit) throw wrong(env, name, "an ascending offset within the data");
    last = offset;
  }
}

std::uint32_t uint32(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= std::numeric_limits<std::uint32_t>::max()) || number != std::floor(number)) {
    throw wrong(object.Env(), name, "a whole number of 32 bits");
  }
  return static_cast<std::uint32_t>(number);
}

bool boolean(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsBoolean()) throw wrong(object.Env(), name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string errorName(int error) {
  switch (error) {
#define NAME(code) \
  case code:       \
    return #code
    NAME(EACCES);
    NAME(EAGAIN);
    NAME(EBADF);
    NAME(EBUSY);
    NAME(EDQUOT);
    NAME(EEXIST);
    NAME(EFBIG);
    NAME(EINVAL);
    NAME(EIO);
    NAME(EISDIR);
    NAME(ELOOP);
    NAME(EMFILE);
    NAME(EMLINK);
    NAME(ENAMETOOLONG);
    NAME(ENFILE);
    NAME(ENODEV);
    NAME(ENOENT);
    NAME(ENOLCK);
    NAME(ENOMEM);
    NAME(ENOSPC);
    NAME(ENOSYS);
    NAME(ENOTDIR);
    NAME(ENXIO);
    NAME(EOPNOTSUPP);
    NAME(EPERM);
    NAME(EROFS);
    NAME(ESRCH);
    NAME(ESTALE);
    NAME(EXDEV);
#undef NAME
    default:
      return std::string("E").append(std::to_string(error));
  }
}

Napi::Error systemError(Napi::Env env, int error, const char* call) {
  const std::string code = errorName(error);
  Napi::Error out = Napi::Error::New(env, code + ": " + std::strerror(error) + ", " + call);
  out.Set("code", Napi::String::New(env, code));
  out.Set("errno", Napi::Number::New(env, -error));
  out.Set("syscall", Napi::String::New(env, call));
  return out;
}

int descriptor(Napi::Value value, const char* what) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= std::numeric_limits<int>::max()) || number != std::floor(number)) {
    throw wrong(value.Env(), what, "an open descriptor");
  }
  return static_cast<int>(number);
}

int optionalDescriptor(Napi::Value value, const char* what) {
  const bool none = value.IsNumber() && value.As<Napi::Number>().DoubleValue() == -1;
  return none ? -1 : descriptor(value, what);
}

template <typename T>
std::span<T> elements(Napi::Value value, const char* what) {
  if (!value.IsTypedArray()) throw wrong(value.Env(), what, "a typed array");
  napi_typedarray_type type{};
  std::size_t length = 0;
  void* data = nullptr;
  const napi_status status = napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr);
  if (status != napi_ok || type != arrayType<T>()) throw wrong(value.Env(), what, "another kind of typed array");
  return {static_cast<T*>(data), data == nullptr ? 0 : length};
}

template std::span<std::uint8_t> elements<std::uint8_t>(Napi::Value, const char*);
template std::span<std::int32_t> elements<std::int32_t>(Napi::Value, const char*);
template std::span<std::uint32_t> elements<std::uint32_t>(Napi::Value, const char*);
template std::span<std::int64_t> elements<std::int64_t>(Napi::Value, const char*);
template std::span<std::uint64_t> elements<std::uint64_t>(Napi::Value, const char*);
template std::span<double> elements<double>(Napi::Value, const char*);

engine::MessageTable messageTable(Napi::Value value) {
  if (!value.IsObject()) throw wrong(value.Env(), "messages", "an object");
  const auto object = value.As<Napi::Object>();
  const Napi::Env env = value.Env();
  engine::MessageTable table;
  table.count = uint32(object, "count");
  const std::size_t count = table.count;
  table.uids = column<std::uint32_t>(object, "uids", count);
  table.internalDates = column<double>(object, "internalDates", count);
  table.flags = column<std::uint32_t>(object, "flags", count);
  table.keywordOffsets = column<std::uint32_t>(object, "keywordOffsets", count + 1);
  table.keywordRefs = elements<std::uint32_t>(object.Get("keywordRefs"), "keywordRefs");
  table.names = elements<std::uint8_t>(object.Get("names"), "names");
  table.nameOffsets = column<std::uint32_t>(object, "nameOffsets", count + 1);
  table.inodes = column<std::uint64_t>(object, "inodes", count);
  table.sizes = column<double>(object, "sizes", count);
  table.mtimes = column<std::int64_t>(object, "mtimes", count);
  table.refused = column<std::uint8_t>(object, "refused", count);
  checkOffsets(env, table.keywordOffsets, table.keywordRefs.size(), "keywordOffsets");
  checkOffsets(env, table.nameOffsets, table.names.size(), "nameOffsets");
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (table.uids[i] <= last) throw wrong(env, "uids", "a strictly ascending uid above 0");
    last = table.uids[i];
    if (table.refused[i] > static_cast<std::uint8_t>(engine::MessageError::target)) {
      throw wrong(env, "refused", "an index into MESSAGE_ERRORS");
    }
    if (!(table.sizes[i] >= 0 && table.sizes[i] < 9e15)) throw wrong(env, "sizes", "bytes");
    if (!(std::abs(table.internalDates[i]) < 9e15)) throw wrong(env, "internalDates", "seconds since 1970");
  }
  return table;
}

engine::Folder folder(Napi::Value value) {
  if (!value.IsObject()) throw wrong(value.Env(), "input", "an object");
  const auto object = value.As<Napi::Object>();
  engine::Folder out;
  out.sourceFd = descriptor(object.Get("sourceFd"), "sourceFd");
  out.targetFd = descriptor(object.Get("targetFd"), "targetFd");
  out.singleFd = optionalDescriptor(object.Get("singleFd"), "singleFd");
  out.uidvalidity = uint32(object, "uidvalidity");
  out.uidnext = uint32(object, "uidnext");
  out.keywords = strings(object, "keywords");
  out.admin = elements<std::uint8_t>(object.Get("admin"), "admin");
  out.messages = messageTable(object.Get("messages"));
  for (const std::uint32_t reference : out.messages.keywordRefs) {
    if (reference >= out.keywords.size()) throw wrong(value.Env(), "keywordRefs", "an index into keywords");
  }
  out.owner = {uint32(object, "ownerUid"), uint32(object, "ownerGid"), boolean(object, "setOwner")};
  out.takeForeign = boolean(object, "takeForeign");
  out.publishWithFailures = boolean(object, "publishWithFailures");
  out.resumed = boolean(object, "resumed");
  out.job = uint32(object, "job");
  const std::span<std::int32_t> progress = elements<std::int32_t>(object.Get("progress"), "progress");
  if (progress.size() < 4 || reinterpret_cast<std::uintptr_t>(progress.data()) % alignof(std::int64_t) != 0) {
    throw wrong(value.Env(), "progress", "four slots, aligned");
  }
  out.progress = progress.data();
  return out;
}

Output::Output(Napi::Value columnBytes, Napi::Value numberArray, std::size_t count)
    : columns_(elements<std::uint8_t>(columnBytes, "columns")),
      numbers_(atLeast<double>(numberArray, kNumbers, "numbers")) {
  if (columns_.size() != count * kBytes) throw wrong(columnBytes.Env(), "columns", "six bytes a message");
}

Napi::Value Output::put(Napi::Env env, const engine::Result& result) const {
  const std::size_t count = result.methods.size();
  std::uint8_t* const methods = columns_.data() + count * sizeof(std::int32_t);
  std::uint8_t* const errors = methods + count;
  if (count > 0) std::memcpy(columns_.data(), result.errorNumbers.data(), count * sizeof(std::int32_t));
  for (std::size_t i = 0; i < count; ++i) {
    methods[i] = static_cast<std::uint8_t>(result.methods[i]);
    errors[i] = static_cast<std::uint8_t>(result.errors[i]);
  }
  std::size_t at = 0;
  const auto number = [&](auto value) { numbers_[at++] = static_cast<double>(value); };
  const engine::Summary& summary = result.summary;
  number(result.published ? 1 : 0);
  number(summary.messages);
  number(summary.bytes);
  number(summary.lastAppend);
  number(summary.seen);
  number(summary.answered);
  number(summary.flagged);
  number(summary.deleted);
  number(summary.draft);
  number(result.bytes);
  number(result.stopped ? 1 : 0);
  for (const std::uint64_t ns : {result.times.read, result.times.parse, result.times.place, result.times.index}) {
    number(static_cast<double>(ns) / 1e6);
  }
  if (result.haltCall == nullptr) return env.Null();
  Napi::Object halt = Napi::Object::New(env);
  halt.Set("errno", Napi::Number::New(env, result.haltError));
  halt.Set("call", Napi::String::New(env, result.haltCall));
  halt.Set("side", Napi::String::New(env, result.haltOnSource ? "source" : "target"));
  return halt;
}

Napi::Uint8Array bytes(Napi::Env env, std::span<const std::uint8_t> data) {
  auto out = Napi::Uint8Array::New(env, data.size());
  if (!data.empty()) std::memcpy(out.Data(), data.data(), data.size());
  return out;
}

std::string text(Napi::Value value, const char* what) {
  std::size_t bytes = 0;
  if (napi_get_value_string_latin1(value.Env(), value, nullptr, 0, &bytes) != napi_ok) {
    throw wrong(value.Env(), what, "a string");
  }
  std::string out(bytes, '\0');
  napi_get_value_string_latin1(value.Env(), value, out.data(), bytes + 1, nullptr);
  return out;
}

std::string component(Napi::Value value, const char* what) {
  std::string name = text(value, what);
  if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != name.npos) {
    throw wrong(value.Env(), what, "one path component");
  }
  return name;
}

Napi::Value latin1(Napi::Env env, const std::string& bytes) {
  napi_value value = nullptr;
  if (napi_create_string_latin1(env, bytes.data(), bytes.size(), &value) != napi_ok) throw Napi::Error::New(env);
  return {env, value};
}

}  // namespace mailhaul::js
