// Several threads, one partition: what they share is the registry of shared copies, the known inodes, and the work of a
// giant folder.
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/jobs.h"
#include "engine/migrate.h"
#include "scan/scan.h"
#include "support.h"
#include "test.h"

using mailhaul::engine::Folder;
using mailhaul::engine::Jobs;
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

TEST(HelpersLeaveTheSameFolderAsOneThread) {
  // Slices of 4096 when it is alone, of 512 at least with helpers.
  constexpr std::uint32_t kMany = 5000;
  TestFolder alone;
  TestFolder helped;
  for (std::uint32_t i = 1; i <= kMany; ++i) {
    const std::string text = content(i, i % 7 == 0 ? "\n" : "\r\n");
    alone.add(3 * i, "m" + std::to_string(i), text);
    helped.add(3 * i, "m" + std::to_string(i), text);
  }
  Scratch scratch;
  CHECK(mailhaul::engine::migrate(alone.input(), scratch).published);

  Jobs& jobs = Jobs::ofProcess();
  Folder input = helped.input();
  input.job = jobs.announce();
  std::vector<std::thread> helpers;
  for (int i = 0; i < 3; ++i) {
    helpers.emplace_back([&] {
      Scratch own;
      while (jobs.help(input.job, own).taken) {
      }
    });
  }
  const Result result = mailhaul::engine::migrate(input, scratch);
  for (std::thread& helper : helpers) helper.join();
  CHECK(result.published);
  CHECK_EQ(result.summary.messages, kMany);
  CHECK(helped.target() == alone.target());
}

TEST(AFolderThatEndsLetsItsHelpersGo) {
  TestFolder folder;
  for (std::uint32_t i = 1; i <= 3000; ++i) folder.add(i, "m" + std::to_string(i), content(i, "\r\n"));
  Jobs& jobs = Jobs::ofProcess();
  Folder input = folder.input();
  input.job = jobs.announce();
  *input.progress = 1;  // cancelled
  std::thread helper([&] {
    Scratch own;
    while (jobs.help(input.job, own).taken) {
    }
  });
  Scratch scratch;
  const Result result = mailhaul::engine::migrate(input, scratch);
  helper.join();
  CHECK(result.stopped && !result.published);
  CHECK_EQ(folder.target().size(), std::size_t{0});
}

TEST(WorkThatNobodyBeginsLetsItsHelpersGo) {
  Jobs& jobs = Jobs::ofProcess();
  const std::uint32_t job = jobs.announce();
  std::thread helper([&] {
    Scratch own;
    CHECK(!jobs.help(job, own).taken);
  });
  jobs.forget(job);
  helper.join();
  Scratch own;
  CHECK(!jobs.help(job, own).taken);
}

TEST(HelpersLookAtTheSameDirectory) {
  TestFolder folder;
  for (std::uint32_t i = 1; i <= 3000; ++i) folder.add(i, "m" + std::to_string(i), content(i, "\r\n"));
  Jobs& jobs = Jobs::ofProcess();
  const std::uint32_t job = jobs.announce();
  std::thread helper([&] {
    Scratch own;
    while (jobs.help(job, own).taken) {
    }
  });
  mailhaul::scan::Scan helped;
  CHECK_EQ(mailhaul::scan::scan(folder.input().sourceFd, job, helped), 0);
  helper.join();
  mailhaul::scan::Scan alone;
  CHECK_EQ(mailhaul::scan::scan(folder.input().sourceFd, 0, alone), 0);
  CHECK_EQ(helped.rows.size(), std::size_t{3000});
  for (std::size_t i = 0; i < alone.rows.size() && i < helped.rows.size(); ++i) {
    CHECK_EQ(helped.rows[i].entry.inode, alone.rows[i].entry.inode);
    CHECK_EQ(helped.rows[i].size, alone.rows[i].size);
    CHECK_EQ(helped.rows[i].mtime, alone.rows[i].mtime);
  }
}

TEST(ThreadsRewriteASharedMessageOnce) { CHECK_EQ(migrateShared("\n"), std::size_t{kMessages}); }

TEST(ThreadsLinkASharedMessage) { CHECK_EQ(migrateShared("\r\n"), std::size_t{kMessages}); }
