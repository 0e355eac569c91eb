#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "tests/integration/disk_image.h"
#include "tests/integration/lane.h"

// /data on a disk: kept from one run to the next, and through power cuts.
namespace ensemble::integration {
namespace {

using testing::HasSubstr;

class Disk : public testing::Test {
 protected:
  Arguments command(const std::string& script) const {
    return {"run", "watch", "--disk", image_.path(), "--", "/bin/busybox", "sh", "-c", script};
  }
  Outcome run(const std::string& script) const { return run_ensemble(command(script), {}, limit_); }

  // Formatting and filling a disk takes a busy host long.
  const std::chrono::seconds limit_{60 * patience()};
  DiskImage image_{24u << 20};
};

TEST_F(Disk, KeepsWhatOneRunWroteForTheNext) {
  REQUIRE_KVM();
  const Outcome first =
      run("echo hello > /data/file && mkdir /data/d && ln /data/file /data/d/again &&"
          " ln -s d/again /data/link && chmod 600 /data/file && mv /data/d /data/e &&"
          " mkdir /data/x && rmdir /data/x && cp /bin/busybox /data/busybox && df /data | tail -1");
  EXPECT_EQ(first.exit_code, 0) << first.output << first.errors;
  EXPECT_THAT(first.output, HasSubstr("the blank disk was formatted"));
  image_.expect_sound();
  const Outcome second =
      run("cat /data/e/again; ls -l /data | grep -c rw-------; readlink /data/link;"
          " /data/busybox echo it runs; rm /data/busybox; ls /data/lost+found");
  EXPECT_EQ(second.exit_code, 0) << second.output << second.errors;
  EXPECT_EQ(second.output, "hello\n1\nd/again\nit runs\n");
  image_.expect_sound();
}

TEST_F(Disk, IsNotTouchedUntilItIsLookedAt) {
  REQUIRE_KVM();
  EXPECT_EQ(run("echo other > /tmp/file && ls /tmp").output, "file\n");
  std::string start(4096, 'x');
  std::ifstream(image_.path()).read(start.data(), static_cast<std::streamsize>(start.size()));
  EXPECT_TRUE(start == std::string(4096, '\0'));
}

TEST_F(Disk, OfSomethingElseGivesErrorsAndStaysAsItWas) {
  REQUIRE_KVM();
  std::ofstream(image_.path(), std::ios::in | std::ios::out) << "not a file system";
  const Outcome outcome = run("ls /data; echo no > /data/file || echo refused; echo alive");
  EXPECT_THAT(outcome.output, HasSubstr("there is something else than ext4 on the disk"));
  EXPECT_THAT(outcome.output, HasSubstr("refused\nalive\n"));
}

TEST_F(Disk, FullGivesNoSpaceAndGoesOn) {
  REQUIRE_KVM();
  const Outcome outcome =
      run("dd if=/dev/zero of=/data/big bs=100k 2>&1 | grep -o 'No space left on device';"
          " printf over | dd of=/data/big conv=notrunc 2>/dev/null && head -c 4 /data/big && echo;"
          " rm /data/big; echo again > /data/file; cat /data/file");
  EXPECT_THAT(outcome.output, HasSubstr("No space left on device\nover\nagain\n"));
  image_.expect_sound();
}

#ifndef ENSEMBLE_SANITIZED
// One process waits for the disk, and the others go on.
TEST_F(Disk, ThatIsSlowKeepsOnlyThoseWaitingWhoSync) {
  REQUIRE_KVM();
  if (on_lane_s()) {
    GTEST_SKIP() << "what slows the disk down is not in lane S's machine";
  }
  // Formatting it in the device would take long, too.
  ASSERT_EQ(image_.tool("mke2fs", {"-q", "-F", "-t", "ext4"}).exit_code, 0);
  const Outcome outcome = run_ensemble(
      command("ls /data; (dd if=/dev/zero of=/data/file bs=1k count=1 conv=fsync 2> /dev/null;"
              " echo synced) & i=0; while [ $i -lt 30 ]; do sleep 0.1; echo tick; i=$((i+1)); done;"
              " wait"),
      {{"LD_PRELOAD", ENSEMBLE_SLOW_FLUSH}}, 2 * limit_);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  const std::size_t synced = outcome.output.find("synced");
  ASSERT_NE(synced, outcome.output.npos) << outcome.output;
  const std::string before = outcome.output.substr(0, synced);
  EXPECT_THAT(before, HasSubstr("tick\ntick\ntick\ntick\ntick\ntick\n"));
  image_.expect_sound();
}
#endif

TEST_F(Disk, SaysHowItIsMounted) {
  REQUIRE_KVM();
  EXPECT_THAT(run("df /data | tail -1; grep /data /proc/mounts").output,
              HasSubstr("/dev/vda /data ext4 rw,relatime 0 0\n"));
  ASSERT_EQ(image_.tool("tune2fs", {"-O", "^has_journal"}).exit_code, 0);
  const Outcome outcome = run("ls /data; grep /data /proc/mounts; touch /data/no");
  EXPECT_THAT(outcome.output, HasSubstr("read-only: it has no journal of its own"));
  EXPECT_THAT(outcome.output, HasSubstr("/dev/vda /data ext4 ro,relatime 0 0\n"));
  EXPECT_THAT(outcome.errors + outcome.output, HasSubstr("Read-only file system"));
}

// Removed while it was open, or renamed over: the power goes before it is closed.
TEST_F(Disk, FreesWhatHadNoNameWhenThePowerWasCut) {
  REQUIRE_KVM();
  ChildProcess guest(program_directory() + "/ensemble",
                     command("cd /data; dd if=/dev/zero of=gone bs=1k count=600 2> /dev/null;"
                             " echo new > new; echo old > kept; exec 3<> gone 4<> kept; rm gone;"
                             " mv new kept; ln kept again; echo more >&3; sync; echo synced;"
                             " sleep 1000"));
  ASSERT_TRUE(guest.read_until("synced\n", limit_));
  cut_power(guest);
  const DiskImage linux_view(image_);
  linux_view.expect_sound_after_replay();
  EXPECT_EQ(linux_view.tool("debugfs", {"-R", "cat /again"}).output, "new\n");
  const Outcome outcome = run("cd /data; ls -1; cat kept");
  EXPECT_THAT(outcome.output, HasSubstr("again\nkept\nlost+found\nnew\n"));
  image_.expect_sound();
}

// Each round of the guest's loop writes a file, syncs it and says so; then it stays.
TEST_F(Disk, LosesNothingThatWasSyncedWhenThePowerIsCut) {
  REQUIRE_KVM();
  const int cuts = power_cuts(5);
  std::mt19937 random(1);
  int next = 1;
  for (int cut = 0; cut < cuts && !HasFailure(); ++cut) {
    ChildProcess guest(
        program_directory() + "/ensemble",
        command("i=" + std::to_string(next) +
                "; while :; do yes $i | dd of=/data/f$i bs=1000 count=7 iflag=fullblock conv=fsync"
                " 2>/dev/null && echo synced $i; rm -f /data/f$((i-8)); i=$((i+1)); done"));
    ASSERT_TRUE(guest.read_until("synced " + std::to_string(next) + "\n", limit_)) << "cut " << cut;
    static_cast<void>(guest.read_until("never", std::chrono::milliseconds(random() % 700)));
    const int last = last_number(cut_power(guest), "synced ");
    ASSERT_GE(last, next);
    const DiskImage replayed(image_);
    replayed.expect_sound_after_replay();
    for (int i = std::max(next, last - 6); i <= last; ++i) {
      const Outcome content = replayed.tool("debugfs", {"-R", "cat /f" + std::to_string(i)});
      std::string expected;
      while (expected.size() < 7000) {
        expected += std::to_string(i) + "\n";
      }
      EXPECT_EQ(content.output, expected.substr(0, 7000)) << "cut " << cut << " file " << i;
    }
    next = last + 20;
  }
}

}  // namespace
}  // namespace ensemble::integration
