#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

#include "control/atomic_file.h"
#include "control/memory_figures.h"
#include "control/sha256.h"
#include "control/small_file.h"
#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

TEST(AtomicFile, ReplacesAFileWhole) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("report.json");
  ASSERT_TRUE(write_file_atomically(path, "old and long"));
  ASSERT_TRUE(write_file_atomically(path, "new"));
  EXPECT_EQ(read_small_file(path).value(), "new");
  EXPECT_EQ(directory.entries(), std::vector<std::string>{"report.json"});
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_NE(status.st_mode & S_IRUSR, 0U);
}

TEST(AtomicFile, SaysWhichFileIsOnAFullDisk) {
  const auto written = write_file_atomically("/dev/full", "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().error_number(), ENOSPC);
  EXPECT_THAT(written.error().message(), testing::HasSubstr("'/dev/full'"));
}

TEST(AtomicFile, LeavesNothingWhenTheDirectoryIsMissing) {
  const TemporaryDirectory directory;
  const auto written = write_file_atomically(directory.path("no/report"), "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().error_number(), ENOENT);
  EXPECT_TRUE(directory.entries().empty());
}

TEST(AtomicFile, RefusesADirectory) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(write_file_atomically(directory.path(""), "x"));
}

// The digests of FIPS 180-4's examples.
TEST(Sha256, DigestsFiles) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(write_file_atomically(directory.path("abc"), "abc"));
  EXPECT_EQ(file_sha256(directory.path("abc")).value(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ASSERT_TRUE(write_file_atomically(directory.path("empty"), ""));
  EXPECT_EQ(file_sha256(directory.path("empty")).value(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_FALSE(file_sha256(directory.path("missing")));
}

TEST(SmallFile, IsRead) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(write_file_atomically(directory.path("some"), std::string(10'000, 'x')));
  EXPECT_EQ(read_small_file(directory.path("some")).value(), std::string(10'000, 'x'));
  EXPECT_FALSE(read_small_file("/proc/self/stat")->empty());
  EXPECT_EQ(read_small_file(directory.path("missing")).error().error_number(), ENOENT);
}

TEST(SmallFile, ThatDoesNotEndIsRefused) {
  const auto read = read_small_file("/dev/zero");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message(), "'/dev/zero' has more than 16 MiB");
}

TEST(MemoryFigures, LeavesExcludedMappingsOut) {
  const std::string smaps =
      "1000-3000 r-xp 00000000 08:01 5 /bin/program\n"
      "Size:                  8 kB\nRss:                   8 kB\nPss:                   4 kB\n"
      "7f0000000000-7f0010000000 rw-s 00000000 00:01 6 /memfd:guest (deleted)\n"
      "Rss:                4096 kB\nAnonymous:             0 kB\n"
      "7f0010000000-7f0010001000 rw-p 00000000 00:00 0\n"
      "Rss:                   4 kB\nAnonymous:             4 kB\nAnonHugePages:         0 kB\n"
      "7f0010200000-7f0010400000 rw-p 00000000 00:00 0\n"
      "Rss:                2048 kB\nAnonymous:          2048 kB\nAnonHugePages:      2048 kB\n";
  const AddressRange guest{0x7f0000000000, 0x7f0010000000};
  EXPECT_EQ(sum_resident_memory(smaps, {{guest}}), (ResidentMemory{2060, 2052, 2048}));
  EXPECT_EQ(sum_resident_memory(smaps, {}), (ResidentMemory{6156, 2052, 2048}));
}

TEST(MemoryFigures, SeesThisProcess) {
  const auto all = resident_memory_outside({});
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_GT(all->total_kib, 500U);
  EXPECT_GT(all->anonymous_kib, 50U);
  EXPECT_EQ(resident_memory_outside({{AddressRange{0, UINTPTR_MAX}}}).value(), ResidentMemory{});
}

TEST(MemoryMeter, ReadsSeldomAndWithoutTheLockWhileTheMachineRuns) {
  vmm::DeviceLock lock;
  std::uint64_t reads = 0;
  bool lock_was_held = false;
  constexpr std::chrono::milliseconds kAge{50};
  MemoryMeter meter(
      lock,
      [&]() -> Result<MemoryFigures> {
        lock_was_held = lock.held_by_this_thread();
        if (!lock_was_held) {
          std::jthread([&] { const std::lock_guard other(lock); }).join();
        }
        return MemoryFigures{.process = {}, .guest_touched_kib = ++reads};
      },
      kAge);
  const std::lock_guard guard(lock);
  EXPECT_EQ(meter.figures(true)->guest_touched_kib, 1U);
  EXPECT_FALSE(lock_was_held);
  EXPECT_TRUE(lock.held_by_this_thread());
  EXPECT_EQ(meter.figures(true)->guest_touched_kib, 1U);
  std::this_thread::sleep_for(2 * kAge);
  EXPECT_EQ(meter.figures(true)->guest_touched_kib, 2U);
  // A machine that has stopped has figures of its end.
  EXPECT_EQ(meter.figures(false)->guest_touched_kib, 3U);
  EXPECT_TRUE(lock_was_held);
}

TEST(MemoryMeter, AFailureIsNotKept) {
  vmm::DeviceLock lock;
  bool fails = true;
  MemoryMeter meter(lock, [&] {
    return fails ? Result<MemoryFigures>(fail("no")) : Result<MemoryFigures>(MemoryFigures{});
  });
  const std::lock_guard guard(lock);
  EXPECT_FALSE(meter.figures(true));
  EXPECT_TRUE(lock.held_by_this_thread());
  fails = false;
  EXPECT_TRUE(meter.figures(true));
}

}  // namespace
}  // namespace ensemble::control
