#include "napi/folder.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "napi/values.h"

namespace mailhaul::js {
namespace {

template <typename Array, typename T>
Array arrayOf(Napi::Env env, const std::vector<T>& values) {
  auto out = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), out.Data());
  return out;
}

/// The elements of a column of the scan, in the order of the plan.
template <typename Array, typename T>
Array gather(Napi::Env env, std::span<const T> column, const std::vector<std::uint32_t>& files) {
  auto out = Array::New(env, files.size());
  std::transform(files.begin(), files.end(), out.Data(), [&](std::uint32_t file) { return column[file]; });
  return out;
}

void setNames(Napi::Object table, const plan::ScanColumns& scan, const plan::Plain& plain) {
  auto names = Napi::Uint8Array::New(table.Env(), plain.nameBytes);
  auto offsets = Napi::Uint32Array::New(table.Env(), plain.files.size() + 1);
  std::uint8_t* const bytes = names.Data();
  std::uint32_t* const ends = offsets.Data();
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < plain.files.size(); ++i) {
    const std::uint32_t from = scan.nameOffsets[plain.files[i]];
    const std::uint32_t length = scan.nameOffsets[plain.files[i] + 1] - from;
    std::copy_n(scan.names.data() + from, length, bytes + at);
    at += length;
    ends[i + 1] = at;
  }
  table.Set("names", names);
  table.Set("nameOffsets", offsets);
}

}  // namespace

Napi::Object scanObject(Napi::Env env, const scan::Scan& found) {
  const std::size_t count = found.rows.size();
  std::size_t nameBytes = 0;
  for (const scan::Row& row : found.rows) nameBytes += row.entry.nameBytes;
  auto names = Napi::Uint8Array::New(env, nameBytes);
  auto nameOffsets = Napi::Uint32Array::New(env, count + 1);
  auto inodes = Napi::BigUint64Array::New(env, count);
  auto sizes = Napi::Float64Array::New(env, count);
  auto mtimes = Napi::BigInt64Array::New(env, count);
  auto modes = Napi::Uint32Array::New(env, count);
  auto uids = Napi::Uint32Array::New(env, count);
  auto nlinks = Napi::Uint32Array::New(env, count);
  Napi::Array errors = Napi::Array::New(env);
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const scan::Row& row = found.rows[i];
    const char* name = found.listing.name(row.entry);
    std::copy(name, name + row.entry.nameBytes, names.Data() + at);
    nameOffsets.Data()[i] = at;
    at += row.entry.nameBytes;
    inodes.Data()[i] = row.entry.inode;
    sizes.Data()[i] = row.size;
    mtimes.Data()[i] = row.mtime;
    modes.Data()[i] = row.mode;
    uids.Data()[i] = row.uid;
    nlinks.Data()[i] = row.nlink;
    if (row.error == 0) continue;
    Napi::Object error = Napi::Object::New(env);
    error.Set("index", Napi::Number::New(env, static_cast<double>(i)));
    error.Set("errno", Napi::Number::New(env, row.error));
    errors.Set(errors.Length(), error);
  }
  nameOffsets.Data()[count] = at;
  Napi::Object out = Napi::Object::New(env);
  out.Set("count", Napi::Number::New(env, static_cast<double>(count)));
  out.Set("names", names);
  out.Set("nameOffsets", nameOffsets);
  out.Set("inodes", inodes);
  out.Set("sizes", sizes);
  out.Set("mtimes", mtimes);
  out.Set("modes", modes);
  out.Set("uids", uids);
  out.Set("nlinks", nlinks);
  out.Set("errors", errors);
  return out;
}

Napi::Value plainFolder(Napi::Object scan, int indexFd, const plan::Rules& rules, const plan::NameKey& key) {
  const Napi::Env env = scan.Env();
  const std::size_t count = uint32(scan, "count");
  const plan::ScanColumns columns{elements<std::uint8_t>(scan.Get("names"), "names"),
                                  column<std::uint32_t>(scan, "nameOffsets", count + 1),
                                  column<double>(scan, "sizes", count), column<std::uint32_t>(scan, "modes", count),
                                  column<std::uint32_t>(scan, "uids", count)};
  checkOffsets(env, columns.nameOffsets, columns.names.size(), "nameOffsets");
  const auto inodes = column<std::uint64_t>(scan, "inodes", count);
  const auto mtimes = column<std::int64_t>(scan, "mtimes", count);
  const std::optional<plan::Plain> plain = plan::planPlain(indexFd, columns, rules, key);
  if (!plain.has_value()) return env.Null();

  const auto number = [&](std::size_t value) { return Napi::Number::New(env, static_cast<double>(value)); };
  Napi::Object messages = Napi::Object::New(env);
  messages.Set("count", number(plain->files.size()));
  messages.Set("uids", arrayOf<Napi::Uint32Array>(env, plain->uids));
  messages.Set("internalDates", arrayOf<Napi::Float64Array>(env, plain->dates));
  messages.Set("flags", arrayOf<Napi::Uint32Array>(env, plain->flags));
  messages.Set("keywordOffsets", arrayOf<Napi::Uint32Array>(env, plain->keywordOffsets));
  messages.Set("keywordRefs", arrayOf<Napi::Uint32Array>(env, plain->keywordRefs));
  setNames(messages, columns, *plain);
  messages.Set("inodes", gather<Napi::BigUint64Array>(env, inodes, plain->files));
  messages.Set("sizes", gather<Napi::Float64Array>(env, columns.sizes, plain->files));
  messages.Set("mtimes", gather<Napi::BigInt64Array>(env, mtimes, plain->files));
  messages.Set("refused", Napi::Uint8Array::New(env, plain->files.size()));
  Napi::Array keywords = Napi::Array::New(env, plain->keywords.size());
  for (std::uint32_t i = 0; i < plain->keywords.size(); ++i) {
    keywords.Set(i, Napi::String::New(env, plain->keywords[i]));
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("uidvalidity", number(plain->header.uidvalidity));
  out.Set("uidnext", number(plain->uidnext));
  out.Set("keywords", keywords);
  out.Set("messages", messages);
  return out;
}

}  // namespace mailhaul::js
