#include "napi/ready.h"

#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "napi/values.h"
#include "plan/ready.h"

namespace mailhaul::js {
namespace {

void put(const plan::Stamp& stamp, std::span<std::uint64_t> out) noexcept {
  out[0] = stamp.device;
  out[1] = static_cast<std::uint64_t>(stamp.modified);
  out[2] = stamp.indexInode;
  out[3] = static_cast<std::uint64_t>(stamp.indexModified);
}

}  // namespace

Napi::Value makeReady(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  plan::Wanted wanted;
  wanted.sourceRoot = descriptor(info[0], "sourceFd");
  wanted.source = text(info[1], "source");
  wanted.targetRoot = descriptor(info[2], "targetFd");
  wanted.target = text(info[3], "target");
  if (!info[4].IsObject()) throw wrong(env, "rules", "an object");
  const auto rules = info[4].As<Napi::Object>();
  wanted.rules = {uint32(rules, "ownerUid"), boolean(rules, "takeForeign")};
  const std::span<std::uint8_t> key = atLeast<std::uint8_t>(info[5], sizeof wanted.key, "key");
  std::memcpy(&wanted.key, key.data(), sizeof wanted.key);
  const std::span<std::uint8_t> columns = elements<std::uint8_t>(info[6], "columns");
  wanted.room = columns.size();
  const std::span<std::uint64_t> wide = atLeast<std::uint64_t>(info[7], 5, "wide");
  const std::span<double> numbers = atLeast<double>(info[8], 9, "numbers");

  plan::Ready ready;
  if (!plan::makeReady(wanted, ready)) return env.Null();
  const auto& words = ready.plain.keywords;
  Napi::Array keywords = Napi::Array::New(env, words.size());
  for (std::uint32_t i = 0; i < words.size(); ++i) keywords.Set(i, Napi::String::New(env, words[i]));
  // Nothing can be thrown from here on: the descriptors are the caller's to close.
  ready.writeColumns(columns);
  put(ready.stamp, wide);
  wide[4] = ready.device;
  numbers[0] = ready.source.release();
  numbers[1] = ready.lock.release();
  numbers[2] = ready.target.release();
  numbers[3] = ready.plain.header.uidvalidity;
  numbers[4] = ready.plain.uidnext;
  numbers[5] = static_cast<double>(ready.plain.files.size());
  numbers[6] = static_cast<double>(ready.columnBytes());
  numbers[7] = static_cast<double>(ready.scanNs) / 1e6;
  numbers[8] = static_cast<double>(ready.planNs) / 1e6;
  return keywords;
}

Napi::Value stamp(const Napi::CallbackInfo& info) {
  const int folder = descriptor(info[0], "folderFd");
  const std::span<std::uint64_t> out = atLeast<std::uint64_t>(info[1], 4, "wide");
  plan::Stamp seen;
  const bool told = plan::stampOf(folder, seen);
  if (told) put(seen, out);
  return Napi::Boolean::New(info.Env(), told);
}

}  // namespace mailhaul::js
