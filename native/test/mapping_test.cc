// Mapped files that are cut or changed while they are read: the reader goes on, and is told.
#include "sys/mapping.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mime/crlf.h"
#include "mime/parse.h"
#include "support.h"
#include "sys/fd.h"
#include "test.h"

using mailhaul::sys::Fd;
using mailhaul::sys::Mapping;
using mailhaul::test::childStatus;

namespace {

const std::size_t kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

/// An open file without a name that holds `content`.
Fd fileOf(std::string_view content) {
  std::string path = "/tmp/mailhaul-mapping-XXXXXX";
  Fd fd(::mkstemp(path.data()));
  ::unlink(path.c_str());
  CHECK_EQ(::pwrite(fd.get(), content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  return fd;
}

void cut(const Fd& fd, std::size_t bytes) { CHECK_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0); }

std::size_t countOf(const Mapping& mapping, std::uint8_t byte) {
  const auto bytes = mapping.bytes();
  return static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), byte));
}

void (*handlerOfBusErrors())(int, siginfo_t*, void*) {
  struct sigaction now {};
  ::sigaction(SIGBUS, nullptr, &now);
  return now.sa_sigaction;
}

/// A message of many parts and long headers.
std::string manyParts() {
  std::string text = "Subject: one\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n";
  for (int i = 0; i < 400; ++i) {
    text += "--b\r\nContent-Type: message/rfc822\r\n\r\nTo: " + std::string(200, 'x') + " <a@b.c>, d@e\r\n folded\r\n";
    text +=
        "Content-Type: text/plain; charset*0=us; name=\"q\\\"\"\r\n\r\n-- \r\n--text " + std::string(300, '-') + "\r\n";
  }
  return text + "--b--\r\n";
}

}  // namespace

TEST(aFileThatIsCutWhileItIsMappedReadsAsZerosAndIsBroken) {
  const std::size_t size = 40 * kPage + 5;
  const Fd fd = fileOf(std::string(size, 'x'));
  const Fd other = fileOf(std::string(size, 'x'));
  Mapping mapping;
  Mapping whole;
  CHECK_EQ(mapping.map(fd.get(), size), 0);
  CHECK_EQ(whole.map(other.get(), size), 0);
  CHECK(!mapping.isBroken());
  cut(fd, 10 * kPage);
  CHECK_EQ(countOf(mapping, 'x'), 10 * kPage);
  CHECK(mapping.isBroken());
  CHECK_EQ(countOf(whole, 'x'), size);
  CHECK(!whole.isBroken());
  // The next one has nothing of it.
  CHECK_EQ(mapping.map(other.get(), size), 0);
  CHECK(!mapping.isBroken());
  CHECK_EQ(countOf(mapping, 'x'), size);
}

TEST(threadsLoseTheirOwnFilesOnly) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (std::size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&wrong, t] {
      for (int round = 0; round < 50; ++round) {
        const Fd fd = fileOf(std::string(8 * kPage, 'x'));
        Mapping mapping;
        if (mapping.map(fd.get(), 8 * kPage) != 0) ++wrong;
        const std::size_t left = t % 2 == 0 ? 8 : 3;
        cut(fd, left * kPage);
        if (countOf(mapping, 'x') != left * kPage || mapping.isBroken() != (left == 3)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(wrong.load(), 0);
}

TEST(theSignalIsHandledOnlyWhileSomethingIsMapped) {
  const auto before = handlerOfBusErrors();
  const Fd fd = fileOf("x");
  {
    Mapping one;
    Mapping two;
    CHECK_EQ(one.map(fd.get(), 1), 0);
    CHECK_EQ(two.map(fd.get(), 1), 0);
    one.reset();
    CHECK(handlerOfBusErrors() != before);
  }
  CHECK(handlerOfBusErrors() == before);
}

TEST(aBusErrorOfAnotherMappingEndsTheProcessAsBefore) {
  const Fd fd = fileOf(std::string(2 * kPage, 'x'));
  Mapping mapping;
  CHECK_EQ(mapping.map(fd.get(), 2 * kPage), 0);
  const int status = childStatus([&] {
    // What ASan would print of it is of no interest.
    ::close(STDERR_FILENO);
    const auto* strange = static_cast<const volatile char*>(::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd.get(), 0));
    cut(fd, 0);
    static_cast<void>(strange[0]);
  });
  CHECK(status != 0);
  const int sent = childStatus([] {
    ::close(STDERR_FILENO);
    ::raise(SIGBUS);
  });
  CHECK(sent != 0);
}

TEST(theParserSurvivesAFileThatChangesUnderIt) {
  const std::string text = manyParts();
  const Fd fd = fileOf(text);
  std::atomic<bool> over{false};
  std::thread hostile([&] {
    std::minstd_rand random(1);
    constexpr std::string_view bytes = "\r\n\n\n:-\"(<>,;=\\b x";
    while (!over) {
      const auto at = static_cast<off_t>(random() % text.size());
      if (random() % 500 == 0) {
        cut(fd, static_cast<std::size_t>(at));
        static_cast<void>(::pwrite(fd.get(), text.data(), text.size(), 0));
      } else {
        static_cast<void>(::pwrite(fd.get(), &bytes[random() % bytes.size()], 1, at));
      }
    }
  });
  std::vector<std::uint8_t> cache;
  std::vector<std::uint8_t> crlf;
  for (int round = 0; round < 100; ++round) {
    Mapping mapping;
    CHECK_EQ(mapping.map(fd.get(), text.size()), 0);
    cache.clear();
    CHECK(mailhaul::mime::parseMessage(mapping.bytes(), cache) <= text.size());
    mailhaul::mime::toCrlfForm(mapping.bytes(), crlf);
    // What was found of its lines is not true any more when they are parsed.
    mailhaul::mime::LineSurvey survey;
    mailhaul::mime::surveyLines(mapping.bytes(), 1, text.size(), survey);
    cache.clear();
    CHECK(mailhaul::mime::parseMessage(mapping.bytes(), cache, {survey.counts.lfs, survey.dashLines}) <= text.size());
  }
  over = true;
  hostile.join();
}

TEST(aFileWithMoreLineEndsThanWereCountedOverflowsNothing) {
  // Counted once, copied once: in between the hostile thread turns CRLF into bare LF, or back, all over the file.
  std::string few;
  for (int i = 0; i < 20'000; ++i) few += i == 0 ? "ab\n" : "a\r\n";
  std::string many = few;
  std::replace(many.begin(), many.end(), '\r', 'x');
  const Fd fd = fileOf(few);
  std::atomic<bool> over{false};
  std::thread hostile([&] {
    for (bool which = false; !over; which = !which) {
      static_cast<void>(::pwrite(fd.get(), which ? many.data() : few.data(), few.size(), 0));
    }
  });
  for (int round = 0; round < 300; ++round) {
    Mapping mapping;
    CHECK_EQ(mapping.map(fd.get(), few.size()), 0);
    std::vector<std::uint8_t> crlf;
    mailhaul::mime::toCrlfForm(mapping.bytes(), crlf);
    CHECK(crlf.size() <= 2 * few.size());
  }
  over = true;
  hostile.join();
}

TEST(aLossIsRepairedWhileOtherThreadsMapAndUnmap) {
  std::atomic<bool> over{false};
  std::vector<std::thread> others;
  for (int t = 0; t < 3; ++t) {
    others.emplace_back([&over] {
      const Fd fd = fileOf("x");
      while (!over) {
        Mapping mapping;
        static_cast<void>(mapping.map(fd.get(), 1));
      }
    });
  }
  for (int round = 0; round < 5000; ++round) {
    const Fd fd = fileOf(std::string(2 * kPage, 'x'));
    Mapping mapping;
    CHECK_EQ(mapping.map(fd.get(), 2 * kPage), 0);
    cut(fd, kPage);
    CHECK_EQ(countOf(mapping, 'x'), kPage);
    CHECK(mapping.isBroken());
  }
  over = true;
  for (std::thread& thread : others) thread.join();
}
