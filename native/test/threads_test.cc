// Several threads, one partition: what they share is the registry of shared copies and the known inodes.
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/migrate.h"
#include "support.h"
#include "test.h"

using mailhaul::engine::Folder;
using mailhaul::engine::Result;
using mailhaul::engine::Scratch;
using mailhaul::test::TestFolder;

namespace {

constexpr std::uint32_t kFolders = 4;
constexpr std::uint32_t kMessages = 200;

std::string content(std::uint32_t i, std::string_view end) {
  return "Subject: " + std::to_string(i) + std::string(end) + std::string(end) + "Text" + std::string(end);
}

/// The same inodes in every folder, migrated by a thread each; how many 4.x inodes came out of it.
std::size_t migrateShared(std::string_view lineEnd) {
  std::vector<std::unique_ptr<TestFolder>> folders;
  for (std::uint32_t f = 0; f < kFolders; ++f) folders.push_back(std::make_unique<TestFolder>());
  for (std::uint32_t i = 1; i <= kMessages; ++i) {
    const std::string name = "m" + std::to_string(i);
    folders[0]->add(i, name, content(i, lineEnd));
    for (std::uint32_t f = 1; f < kFolders; ++f) {
      std::filesystem::create_hard_link(folders[0]->source / name, folders[f]->source / name);
      folders[f]->addLink(i, name + " again", name);
    }
  }
  const int registry = folders[0]->input().singleFd;
  std::vector<std::thread> threads;
  std::vector<Result> results(kFolders);
  for (std::uint32_t f = 0; f < kFolders; ++f) {
    threads.emplace_back([&, f] {
      Scratch scratch;
      Folder input = folders[f]->input();
      input.singleFd = registry;
      results[f] = mailhaul::engine::migrate(input, scratch);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<ino_t> inodes;
  for (std::uint32_t f = 0; f < kFolders; ++f) {
    CHECK(results[f].published && results[f].summary.messages == kMessages);
    for (const auto& [path, bytes] : folders[f]->target()) {
      if (path.find(".msg") == std::string::npos) continue;
      CHECK_EQ(bytes, content(static_cast<std::uint32_t>(std::stoul(path.substr(3))), "\r\n"));
      struct stat st {};
      CHECK_EQ(::stat((folders[f]->targetDirectory / path).c_str(), &st), 0);
      inodes.insert(st.st_ino);
    }
  }
  return inodes.size();
}

}  // namespace

TEST(ThreadsRewriteASharedMessageOnce) { CHECK_EQ(migrateShared("\n"), std::size_t{kMessages}); }

TEST(ThreadsLinkASharedMessage) { CHECK_EQ(migrateShared("\r\n"), std::size_t{kMessages}); }
