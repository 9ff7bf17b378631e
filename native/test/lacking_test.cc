// A process that lacks memory or descriptors while it looks at what an earlier attempt left. The seam knows calls with
// an effect only: opening and reading are made to fail by seccomp, in a child process.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "engine/migrate.h"
#include "support.h"
#include "test.h"

using mailhaul::engine::Folder;
using mailhaul::engine::Method;
using mailhaul::engine::Result;
using mailhaul::test::migrate;
using mailhaul::test::TestFolder;

namespace {

constexpr std::string_view kMessage = "Subject: one\r\n\r\nText\r\n";
constexpr int kAsExpected = 0;
constexpr int kNoFilter = 254;

/// From now on this system call fails with `error` in this process, but where its first argument is one of `spared`.
bool failCalls(long number, int error, const std::vector<int>& spared) {
  std::vector<sock_filter> code{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
  };
  for (const int fd : spared) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(fd), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)));
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/// A message that an earlier attempt has copied. What is below the hash directories cannot be opened, or nothing be
/// read at an offset, as only that copy is.
void expectHalted(long call, int error) {
  TestFolder folder;
  folder.add(1, "m", kMessage);
  const std::filesystem::path hash = folder.targetDirectory / "00";
  std::filesystem::create_directory(hash);
  mailhaul::test::writeFile(hash / "1.msg", kMessage);
  const int result = mailhaul::test::resultOfChild([&] {
    const Folder input = folder.input(true);
    if (!failCalls(call, error, {input.sourceFd, input.targetFd, input.singleFd})) return kNoFilter;
    const Result halted = migrate(input);
    return halted.haltError == error && halted.haltCall != nullptr && !halted.haltOnSource ? kAsExpected : 1;
  });
  if (result == kNoFilter) {
    std::cout << "skipped: no seccomp here\n";
    return;
  }
  CHECK_EQ(result, kAsExpected);
  // Not replaced by a link of the source: it is adopted as soon as there is memory.
  CHECK(!std::filesystem::equivalent(hash / "1.msg", folder.source / "m"));
  CHECK(migrate(folder.input(true)).methods[0] == Method::adopted);
}

}  // namespace

TEST(AFolderEndsWhereWhatWasLeftCannotBeOpenedForLackOfMemoryOrDescriptors) {
  for (const int error : {EMFILE, ENFILE, ENOMEM}) expectHalted(SYS_openat2, error);
}

TEST(AFolderEndsWhereWhatWasLeftCannotBeReadForLackOfMemory) { expectHalted(SYS_pread64, ENOMEM); }
