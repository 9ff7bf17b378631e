#include "cases.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/migrate.h"
#include "engine/overview.h"
#include "engine/remove.h"
#include "hash/xxh3.h"
#include "index/writer.h"
#include "mime/crlf.h"
#include "mime/parse.h"
#include "sample.h"
#include "scan/scan.h"
#include "support.h"

namespace mailhaul::bench {
namespace {

using engine::Method;
using test::TestFolder;

// Five hash directories, and large enough that what a folder costs once is a small part.
constexpr std::uint32_t kMessages = 400;
constexpr std::size_t kMessageBytes = 8192;
constexpr std::uint32_t kNamesOfOne = 20;

using Make = std::string (*)(std::uint64_t seed, std::size_t bytes);
using Contents = std::vector<std::string>;
using Bytes = std::span<const std::uint8_t>;

std::string bareLfMessage(std::uint64_t seed, std::size_t bytes) { return withBareLf(plainMessage(seed, bytes)); }

Contents contents(Make make) {
  Contents all;
  for (std::uint32_t i = 1; i <= kMessages; ++i) all.push_back(make(i, kMessageBytes));
  return all;
}

std::uint64_t sumBytes(const Contents& all) {
  std::uint64_t sum = 0;
  for (const std::string& one : all) sum += one.size();
  return sum;
}

Bytes bytesOf(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

/// `each` for every message, once before it counts: the memory that a thread keeps has its size then.
template <typename Each>
Work everyMessage(Make make, Each each) {
  const auto all = std::make_shared<const Contents>(contents(make));
  auto run = [all, each]() mutable {
    for (const std::string& message : *all) each(bytesOf(message));
  };
  run();
  return {kMessages, sumBytes(*all), std::move(run)};
}

template <Make make>
Work parse(const std::string&) {
  return everyMessage(make, [cache = std::vector<std::uint8_t>()](Bytes message) mutable {
    cache.clear();
    require(mime::parseMessage(message, cache) > 0, "a message without header");
  });
}

Work lookForBareLf(const std::string&) {
  return everyMessage(plainMessage, [](Bytes message) { require(mime::isCrlfForm(message), "a bare LF"); });
}

Work rewriteBareLf(const std::string&) {
  return everyMessage(bareLfMessage, [out = std::vector<std::uint8_t>()](Bytes message) mutable {
    mime::toCrlfForm(message, out);
    require(out.size() > message.size(), "no bare LF");
  });
}

Work digest(const std::string&) {
  return everyMessage(plainMessage, [](Bytes message) {
    const hash::Digest digest = hash::digest(message);
    require(std::any_of(digest.begin(), digest.end(), [](std::uint8_t byte) { return byte != 0; }), "no digest");
  });
}

/// All messages as one, as large as one with an attachment.
Work lookOverLarge(const std::string&) {
  auto whole = std::make_shared<std::string>();
  for (const std::string& message : contents(multipartMessage)) *whole += message;
  auto overview = std::make_shared<engine::Overview>();
  return {1, whole->size(), [whole, overview] {
            require(overview->look(bytesOf(*whole)) && overview->lines().dashLines.has_value(), "not looked over");
          }};
}

struct Move {
  explicit Move(const std::string& parent) : folder(parent, parent) {}

  /// To be called when the folder has its messages.
  void prepare(bool resumed = false) {
    input = folder.input(resumed);
    // As in the product, whose threads are not root any more.
    input.owner.set = false;
    input.takeForeign = takeForeign;
  }

  void migrate() {
    result = engine::migrate(input, *scratch);
    require(result.published, "the folder was not published");
  }

  void requireMethod(Method method) const {
    require(std::count(result.methods.begin(), result.methods.end(), method) >= kMessages * 9 / 10,
            "messages were not moved in the way that is to be counted");
  }

  TestFolder folder;
  engine::Folder input;
  engine::Result result;
  std::shared_ptr<engine::Scratch> scratch = std::make_shared<engine::Scratch>();
  bool takeForeign = false;
};

std::string nameOf(std::uint32_t uid) { return std::to_string(uid) + ".0"; }

void addAll(Move& move, Make make) {
  const Contents all = contents(make);
  for (std::uint32_t i = 0; i < kMessages; ++i) move.folder.add(i + 1, nameOf(i + 1), all[i]);
}

std::uint64_t bytesOf(const Move& move) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(move.folder.source)) bytes += entry.file_size();
  return bytes;
}

/// Moves a folder that `fill` makes; one like it was moved before, so that the memory of the thread has its size.
template <typename Fill>
Work moving(const std::string& parent, Method method, Fill fill) {
  Move before(parent);
  fill(before);
  before.prepare();
  before.migrate();
  auto move = std::make_shared<Move>(parent);
  fill(*move);
  move->scratch = before.scratch;
  move->prepare();
  return {kMessages, bytesOf(*move), [move, method] {
            move->migrate();
            move->requireMethod(method);
          }};
}

template <Make make, Method method>
Work moveEach(const std::string& parent) {
  return moving(parent, method, [](Move& move) { addAll(move, make); });
}

/// Single copy: every file has so many names in the folder.
Work moveShared(const std::string& parent) {
  return moving(parent, Method::link, [](Move& move) {
    for (std::uint32_t uid = 1; uid <= kMessages; ++uid) {
      const std::uint32_t first = uid - (uid - 1) % kNamesOfOne;
      if (uid == first) {
        move.folder.add(uid, nameOf(uid), plainMessage(uid, kMessageBytes));
      } else {
        move.folder.addLink(uid, nameOf(uid), nameOf(first));
      }
    }
  });
}

/// As across file systems: a file that others may write to is copied.
Work moveCopied(const std::string& parent) {
  return moving(parent, Method::copy, [](Move& move) {
    move.takeForeign = true;
    addAll(move, plainMessage);
    for (const auto& entry : std::filesystem::directory_iterator(move.folder.source)) {
      ::chmod(entry.path().c_str(), 0602);
    }
  });
}

/// Folders of ten messages with gaps between their uids: what a folder costs, and what a hash directory does.
Work moveTiny(const std::string& parent) {
  constexpr std::uint32_t folders = 40;
  constexpr std::uint32_t gap = 30;
  std::vector<std::shared_ptr<Move>> moves;
  std::uint64_t bytes = 0;
  for (std::uint32_t folder = 0; folder < folders; ++folder) {
    const auto& move = moves.emplace_back(std::make_shared<Move>(parent));
    for (std::uint32_t uid = 1; uid <= kMessages / folders * gap; uid += gap) {
      move->folder.add(uid, nameOf(uid), plainMessage(folder * gap + uid, kMessageBytes));
    }
    move->scratch = moves.front()->scratch;
    move->prepare();
    bytes += bytesOf(*move);
  }
  return {kMessages, bytes, [moves] {
            for (const auto& move : moves) move->migrate();
          }};
}

/// An attempt after one that was stopped when all messages had their 4.x names.
Work moveAgain(const std::string& parent) {
  auto move = std::make_shared<Move>(parent);
  addAll(*move, plainMessage);
  move->prepare();
  move->migrate();
  move->prepare(true);
  return {kMessages, bytesOf(*move), [move] {
            move->migrate();
            move->requireMethod(Method::adopted);
          }};
}

Work scanDirectory(const std::string& parent) {
  auto move = std::make_shared<Move>(parent);
  addAll(*move, plainMessage);
  move->prepare();
  return {kMessages, bytesOf(*move), [move] {
            scan::Scan found;
            require(scan::scan(move->input.sourceFd, 0, found) == 0 && found.rows.size() == kMessages,
                    "not all were found");
          }};
}

Work removeOriginals(const std::string& parent) {
  auto move = std::make_shared<Move>(parent);
  addAll(*move, plainMessage);
  move->prepare();
  return {kMessages, bytesOf(*move), [move] {
            const std::vector<std::uint8_t> all(kMessages, 1);
            const engine::Removal removal = engine::removeSources(move->input.sourceFd, move->input.messages, all);
            require(removal.removed == kMessages, "not all were removed");
          }};
}

/// The index alone, from cache entries that are there; `bytes` are those of the entries.
Work writeIndex(const std::string& parent) {
  auto move = std::make_shared<Move>(parent);
  move->prepare();
  auto entries = std::make_shared<std::vector<std::vector<std::uint8_t>>>(kMessages);
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    const std::string message = plainMessage(i, kMessageBytes);
    static_cast<void>(mime::parseMessage(bytesOf(message), (*entries)[i]));
    bytes += (*entries)[i].size();
  }
  return {
      kMessages, bytes, [move, entries] {
        index::Writer writer(move->input.targetFd, engine::Owner{});
        writer.reserve(kMessages);
        for (std::uint32_t i = 0; i < kMessages; ++i) {
          const engine::Outcome added = writer.add({i + 1, 0, 900'000'000, kMessageBytes, 1000, {}, {}, (*entries)[i]});
          require(added.ok(), "an entry was not written");
        }
        require(writer.publish(move->input).ok(), "the index was not written");
      }};
}

constexpr std::array<Case, 16> kCases{{
    {"parse-plain", parse<plainMessage>},
    {"parse-multipart", parse<multipartMessage>},
    {"find-bare-lf", lookForBareLf},
    {"rewrite-bare-lf", rewriteBareLf},
    {"digest", digest},
    {"look-over-large", lookOverLarge},
    {"write-index", writeIndex},
    {"scan-directory", scanDirectory},
    {"move-plain", moveEach<plainMessage, Method::link>},
    {"move-multipart", moveEach<multipartMessage, Method::link>},
    {"move-bare-lf", moveEach<bareLfMessage, Method::rewrite>},
    {"move-shared", moveShared},
    {"move-copied", moveCopied},
    {"move-tiny-folders", moveTiny},
    {"move-again", moveAgain},
    {"remove-originals", removeOriginals},
}};

}  // namespace

std::span<const Case> cases() { return kCases; }

}  // namespace mailhaul::bench
