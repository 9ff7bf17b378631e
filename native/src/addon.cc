// The Node-API surface: interface NativeAddon of src/fs/addon.ts. Each export checks its arguments, makes one
// synchronous call, and turns what comes back into JavaScript values. No C++ exception leaves this file.
#include <errno.h>
#include <napi.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/jobs.h"
#include "engine/migrate.h"
#include "engine/remove.h"
#include "hash/xxh3.h"
#include "mime/crlf.h"
#include "mime/parse.h"
#include "napi/folder.h"
#include "napi/ready.h"
#include "napi/values.h"
#include "plan/plain.h"
#include "scan/glance.h"
#include "scan/scan.h"
#include "sys/account.h"
#include "sys/allocator.h"
#include "sys/calls.h"
#include "sys/fault.h"
#include "sys/pace.h"

namespace mailhaul {
namespace {

/// ADDON_ABI of src/fs/addon.ts.
constexpr double kAbi = 19;

/// What one environment (a thread) holds; it goes when the environment ends.
struct Instance {
  engine::Scratch scratch;
  Napi::Reference<Napi::Value> faultCounter;  ///< keeps the armed counter's memory alive
  Napi::Reference<Napi::Value> pace;          ///< likewise
  Napi::Reference<Napi::Value> cancel;

  Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance() {
    sys::armFault({});
    sys::armPace(nullptr, nullptr);
  }
};

using Export = Napi::Value (*)(const Napi::CallbackInfo&);

/// node-addon-api turns Napi::Error into a JavaScript exception; this does so for the one other that can come up.
template <Export function>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const std::bad_alloc&) {
    throw js::systemError(info.Env(), ENOMEM, "malloc");
  }
}

Napi::Value flock(const Napi::CallbackInfo& info) {
  const int fd = js::descriptor(info[0], "fd");
  const int error = sys::lockFile(fd, info[1].ToBoolean());
  if (error != 0 && error != EWOULDBLOCK) throw js::systemError(info.Env(), error, "flock");
  return Napi::Boolean::New(info.Env(), error == 0);
}

Napi::Value firstByteWriter(const Napi::CallbackInfo& info) {
  pid_t holder = 0;
  const int error = sys::firstByteWriter(js::descriptor(info[0], "fd"), holder);
  if (error != 0) throw js::systemError(info.Env(), error, "fcntl");
  return Napi::Number::New(info.Env(), holder);
}

Napi::Value unlock(const Napi::CallbackInfo& info) {
  const int error = sys::unlockFile(js::descriptor(info[0], "fd"));
  if (error != 0) throw js::systemError(info.Env(), error, "flock");
  return info.Env().Undefined();
}

/// syncfs on a thread of libuv's pool: a transfer thread has better things to do than to wait for a disk.
class SyncWorker : public Napi::AsyncWorker {
 public:
  SyncWorker(Napi::Env env, int fd) : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), fd_(fd) {}

  [[nodiscard]] Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute() override {
    if (error_ == 0) error_ = sys::syncFileSystem(fd_);
  }
  void OnOK() override {
    if (error_ == 0) {
      deferred_.Resolve(Env().Undefined());
    } else {
      deferred_.Reject(js::systemError(Env(), error_, "syncfs").Value());
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  int fd_;
  int error_ = sys::effect();  ///< the seam belongs to the thread that asks
};

Napi::Value syncfsAsync(const Napi::CallbackInfo& info) {
  // Napi::AsyncWorker deletes itself when it is done.
  auto* worker = new SyncWorker(info.Env(), js::descriptor(info[0], "fd"));
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Value openBelow(const Napi::CallbackInfo& info) {
  const int dir = js::descriptor(info[0], "directoryFd");
  const std::span<const std::uint8_t> path = js::elements<std::uint8_t>(info[1], "path");
  if (path.empty() || path.back() != 0) throw js::wrong(info.Env(), "path", "one that ends with 0");
  sys::Fd opened;
  const int error = sys::openDirectoryBelow(dir, reinterpret_cast<const char*>(path.data()), opened);
  return Napi::Number::New(info.Env(), error == 0 ? opened.release() : -error);
}

Napi::Value scanDirectory(const Napi::CallbackInfo& info) {
  scan::Scan found;
  const int failed = scan::scan(js::descriptor(info[0], "directoryFd"), info[1].ToNumber().Uint32Value(), found);
  if (failed != 0) throw js::systemError(info.Env(), failed, "getdents64");
  return js::scanObject(info.Env(), found);
}

Napi::Value planPlain(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject() || !info[2].IsObject()) throw Napi::TypeError::New(env, "scan, rules: objects were expected");
  const auto rules = info[2].As<Napi::Object>();
  const std::span<const std::uint8_t> key = js::elements<std::uint8_t>(info[3], "key");
  plan::NameKey nameKey;
  if (key.size() != sizeof nameKey) throw Napi::TypeError::New(env, "key: 16 bytes were expected");
  std::memcpy(&nameKey, key.data(), sizeof nameKey);
  return js::plainFolder(info[0].As<Napi::Object>(), js::descriptor(info[1], "indexFd"),
                         {js::uint32(rules, "ownerUid"), js::boolean(rules, "takeForeign")}, nameKey);
}

Napi::Value glance(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int dir = js::descriptor(info[0], "directoryFd");
  const bool itself = info[1].IsNull();
  const std::string name = itself ? std::string() : js::component(info[1], "name");
  const std::span<std::uint64_t> out = js::atLeast<std::uint64_t>(info[2], 4, "numbers");
  scan::Glance seen;
  if (scan::glance(dir, itself ? nullptr : name.c_str(), seen) != scan::Seen::here) return env.Null();
  const Napi::Value directories = js::latin1(env, seen.directories);
  out[0] = seen.device;
  out[1] = seen.inode;
  out[2] = seen.strays ? 1 : 0;
  for (std::size_t i = 0; i < seen.files.size(); ++i) {
    out[2] |= std::uint64_t{static_cast<std::uint8_t>(seen.files[i])} << (2 * i + 1);
  }
  // From here on it is the caller's to close.
  out[3] = static_cast<std::uint64_t>(itself ? dir : seen.opened.release());
  return directories;
}

Napi::Value head(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int dir = js::descriptor(info[0], "directoryFd");
  const std::string name = js::component(info[1], "name");
  const bool listed = info[2].ToBoolean();
  const std::uint32_t most = info[3].ToNumber().Uint32Value();
  const std::span<std::uint64_t> out = js::atLeast<std::uint64_t>(info[4], 1, "numbers");
  scan::Head found;
  const scan::Seen seen = scan::head(dir, name.c_str(), listed, most, found);
  if (seen == scan::Seen::absent) return env.Undefined();
  if (seen == scan::Seen::other) return env.Null();
  out[0] = found.size;
  return js::latin1(env, found.bytes);
}

Napi::Value migrate(const Napi::CallbackInfo& info) {
  const engine::Folder folder = js::folder(info[0]);
  const js::Output output(info[1], info[2], folder.messages.count);
  return output.put(info.Env(), engine::migrate(folder, info.Env().GetInstanceData<Instance>()->scratch));
}

Napi::Value announceJob(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), engine::Jobs::ofProcess().announce());
}

Napi::Value forgetJob(const Napi::CallbackInfo& info) {
  engine::Jobs::ofProcess().forget(info[0].ToNumber().Uint32Value());
  return info.Env().Undefined();
}

Napi::Value help(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const engine::Piece piece =
      engine::Jobs::ofProcess().help(info[0].ToNumber().Uint32Value(), env.GetInstanceData<Instance>()->scratch);
  if (!piece.taken) return env.Null();
  Napi::Object out = Napi::Object::New(env);
  out.Set("messages", Napi::Number::New(env, piece.messages));
  out.Set("bytes", Napi::Number::New(env, static_cast<double>(piece.bytes)));
  return out;
}

Napi::Value forgetWritten(const Napi::CallbackInfo& info) {
  info.Env().GetInstanceData<Instance>()->scratch.written.clear();
  return info.Env().Undefined();
}

Napi::Value removeSources(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) throw Napi::TypeError::New(env, "input: an object was expected");
  const auto input = info[0].As<Napi::Object>();
  const engine::MessageTable messages = js::messageTable(input.Get("messages"));
  const std::span<const std::uint8_t> remove = js::elements<std::uint8_t>(input.Get("remove"), "remove");
  if (remove.size() != messages.count)
    throw Napi::TypeError::New(env, "remove: another number of elements was expected");
  const engine::Removal removal =
      engine::removeSources(js::descriptor(input.Get("sourceFd"), "sourceFd"), messages, remove);
  Napi::Array kept = Napi::Array::New(env, removal.kept.size());
  for (std::uint32_t i = 0; i < removal.kept.size(); ++i) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("index", Napi::Number::New(env, removal.kept[i].index));
    one.Set("errno", Napi::Number::New(env, removal.kept[i].errorNumber));
    kept.Set(i, one);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("removed", Napi::Number::New(env, removal.removed));
  out.Set("bytes", Napi::Number::New(env, static_cast<double>(removal.bytes)));
  out.Set("missing", Napi::Number::New(env, removal.missing));
  out.Set("kept", kept);
  return out;
}

Napi::Value parseMessage(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<std::uint8_t> cache;
  const std::uint64_t headerBytes = mime::parseMessage(js::elements<std::uint8_t>(info[0], "message"), cache);
  Napi::Object out = Napi::Object::New(env);
  out.Set("headerBytes", Napi::Number::New(env, static_cast<double>(headerBytes)));
  out.Set("cache", js::bytes(env, cache));
  return out;
}

Napi::Value digest(const Napi::CallbackInfo& info) {
  return js::bytes(info.Env(), hash::digest(js::elements<std::uint8_t>(info[0], "data")));
}

Napi::Value crlfForm(const Napi::CallbackInfo& info) {
  const std::span<const std::uint8_t> data = js::elements<std::uint8_t>(info[0], "data");
  if (mime::isCrlfForm(data)) return info[0];
  std::vector<std::uint8_t> out;
  mime::toCrlfForm(data, out);
  return js::bytes(info.Env(), out);
}

/// Of an ArrayBuffer, which another thread can be given and then this one has no more; of a shared one never.
bool isTransferable(const Napi::Value& view) {
  if (!view.IsTypedArray()) return false;
  napi_value buffer = nullptr;
  bool transferable = true;
  const napi_status got = napi_get_typedarray_info(view.Env(), view, nullptr, nullptr, nullptr, &buffer, nullptr);
  return got != napi_ok || napi_is_arraybuffer(view.Env(), buffer, &transferable) != napi_ok || transferable;
}

Napi::Value accountIds(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsString()) throw Napi::TypeError::New(env, "two names were expected");
  const std::string user = info[0].As<Napi::String>().Utf8Value();
  const std::string group = info[1].As<Napi::String>().Utf8Value();
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::vector<gid_t> groups;
  if (const int error = sys::findUser(user, uid); error != 0) throw js::systemError(env, error, "getpwnam");
  if (const int error = sys::findGroup(group, gid); error != 0) throw js::systemError(env, error, "getgrnam");
  if (uid.has_value() && gid.has_value()) {
    if (const int error = sys::groupsOf(user, *gid, groups); error != 0)
      throw js::systemError(env, error, "getgrouplist");
  }
  Napi::Object out = Napi::Object::New(env);
  if (uid.has_value()) out.Set("uid", Napi::Number::New(env, *uid));
  if (gid.has_value()) out.Set("gid", Napi::Number::New(env, *gid));
  Napi::Array numbers = Napi::Array::New(env, groups.size());
  for (std::uint32_t i = 0; i < groups.size(); ++i) numbers.Set(i, Napi::Number::New(env, groups[i]));
  out.Set("groups", numbers);
  return out;
}

Napi::Value setFault(const Napi::CallbackInfo& info) {
  if (isTransferable(info[0])) throw Napi::TypeError::New(info.Env(), "counter: shared memory was expected");
  const std::span<std::int32_t> counter = js::elements<std::int32_t>(info[0], "counter");
  if (counter.empty()) throw Napi::TypeError::New(info.Env(), "counter: one slot was expected");
  const auto number = [&](std::size_t i) { return info[i].ToNumber().Int32Value(); };
  const std::int32_t at = number(1);
  const std::int32_t action = number(2);
  const std::int32_t error = number(3);
  if (action < 0 || action > 3) throw Napi::RangeError::New(info.Env(), "action: 0 to 3 was expected");
  // Nothing can be thrown from here on: the armed counter and the one that is kept alive are the same.
  info.Env().GetInstanceData<Instance>()->faultCounter = Napi::Reference<Napi::Value>::New(info[0], 1);
  sys::armFault({counter.data(), at, static_cast<sys::FaultAction>(action), error});
  return info.Env().Undefined();
}

Napi::Value setPace(const Napi::CallbackInfo& info) {
  Instance& instance = *info.Env().GetInstanceData<Instance>();
  if (info[0].IsNull()) {
    sys::armPace(nullptr, nullptr);
    return info.Env().Undefined();
  }
  const std::span<std::int32_t> pace = js::elements<std::int32_t>(info[0], "pace");
  const std::span<std::int32_t> cancel = js::elements<std::int32_t>(info[1], "cancel");
  if (isTransferable(info[0]) || isTransferable(info[1])) {
    throw Napi::TypeError::New(info.Env(), "pace, cancel: shared memory was expected");
  }
  const bool aligned = reinterpret_cast<std::uintptr_t>(pace.data()) % alignof(std::int64_t) == 0;
  if (pace.size() < sys::Pace::kSlots || !aligned || cancel.empty()) {
    throw Napi::TypeError::New(info.Env(), "pace, cancel: more slots, aligned, were expected");
  }
  Napi::Reference<Napi::Value> keptPace = Napi::Reference<Napi::Value>::New(info[0], 1);
  Napi::Reference<Napi::Value> keptCancel = Napi::Reference<Napi::Value>::New(info[1], 1);
  // Nothing can be thrown from here on: what is armed and what is kept alive are the same.
  sys::armPace(pace.data(), cancel.data());
  instance.pace = std::move(keptPace);
  instance.cancel = std::move(keptCancel);
  return info.Env().Undefined();
}

Napi::Value startPacing(const Napi::CallbackInfo& info) {
  sys::pacing.store(true);
  return info.Env().Undefined();
}

Napi::Value returnFreedMemory(const Napi::CallbackInfo& info) {
  sys::returnFreedMemory();
  return info.Env().Undefined();
}

/// ioprio_set(2) of a thread of this process: the idle class, or what the system gives.
Napi::Value setIoIdle(const Napi::CallbackInfo& info) {
  const int error = sys::setIoIdle(js::descriptor(info[0], "thread"), info[1].ToBoolean());
  if (error != 0) throw js::systemError(info.Env(), error, "ioprio_set");
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(std::make_unique<Instance>().release());
  exports.Set("abi", Napi::Number::New(env, kAbi));
  exports.Set("openBelow", Napi::Function::New<guarded<openBelow>>(env, "openBelow"));
  exports.Set("firstByteWriter", Napi::Function::New<guarded<firstByteWriter>>(env, "firstByteWriter"));
  exports.Set("flock", Napi::Function::New<guarded<flock>>(env, "flock"));
  exports.Set("unlock", Napi::Function::New<guarded<unlock>>(env, "unlock"));
  exports.Set("syncfsAsync", Napi::Function::New<guarded<syncfsAsync>>(env, "syncfsAsync"));
  exports.Set("scan", Napi::Function::New<guarded<scanDirectory>>(env, "scan"));
  exports.Set("planPlain", Napi::Function::New<guarded<planPlain>>(env, "planPlain"));
  exports.Set("makeReady", Napi::Function::New<guarded<js::makeReady>>(env, "makeReady"));
  exports.Set("stamp", Napi::Function::New<guarded<js::stamp>>(env, "stamp"));
  exports.Set("glance", Napi::Function::New<guarded<glance>>(env, "glance"));
  exports.Set("head", Napi::Function::New<guarded<head>>(env, "head"));
  exports.Set("migrate", Napi::Function::New<guarded<migrate>>(env, "migrate"));
  exports.Set("announceJob", Napi::Function::New<guarded<announceJob>>(env, "announceJob"));
  exports.Set("forgetJob", Napi::Function::New<guarded<forgetJob>>(env, "forgetJob"));
  exports.Set("help", Napi::Function::New<guarded<help>>(env, "help"));
  exports.Set("forgetWritten", Napi::Function::New<guarded<forgetWritten>>(env, "forgetWritten"));
  exports.Set("removeSources", Napi::Function::New<guarded<removeSources>>(env, "removeSources"));
  exports.Set("parseMessage", Napi::Function::New<guarded<parseMessage>>(env, "parseMessage"));
  exports.Set("digest", Napi::Function::New<guarded<digest>>(env, "digest"));
  exports.Set("crlfForm", Napi::Function::New<guarded<crlfForm>>(env, "crlfForm"));
  exports.Set("accountIds", Napi::Function::New<guarded<accountIds>>(env, "accountIds"));
  exports.Set("setFault", Napi::Function::New<guarded<setFault>>(env, "setFault"));
  exports.Set("setPace", Napi::Function::New<guarded<setPace>>(env, "setPace"));
  exports.Set("startPacing", Napi::Function::New<guarded<startPacing>>(env, "startPacing"));
  exports.Set("setIoIdle", Napi::Function::New<guarded<setIoIdle>>(env, "setIoIdle"));
  exports.Set("returnFreedMemory", Napi::Function::New<guarded<returnFreedMemory>>(env, "returnFreedMemory"));
  return exports;
}

}  // namespace
}  // namespace mailhaul

// node-addon-api's macro needs an unqualified function.
static Napi::Object initMailhaul(Napi::Env env, Napi::Object exports) { return mailhaul::init(env, exports); }
NODE_API_MODULE(mailhaul, initMailhaul)
