#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"

// /data on a disk: kept from one run to the next, and through power cuts.
namespace ensemble::integration {
namespace {

using testing::HasSubstr;
using testing::Not;

class Disk : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(image_) << "";
    std::filesystem::resize_file(image_, 24u << 20);
  }

  Arguments command(const std::string& script) const {
    return {"run", "watch", "--disk", image_, "--", "/bin/busybox", "sh", "-c", script};
  }
  Outcome run(const std::string& script) const { return run_ensemble(command(script)); }
  Outcome tool(const std::string& name, Arguments arguments) const {
    arguments.push_back(image_);
    return ChildProcess("/usr/sbin/" + name, arguments).wait(default_limit());
  }
  void expect_sound() const {
    const Outcome check = tool("e2fsck", {"-fn"});
    EXPECT_EQ(check.exit_code, 0) << check.output << check.errors;
  }

  TemporaryFolder folder_;
  std::string image_ = folder_.path("disk.img");
};

TEST_F(Disk, KeepsWhatOneRunWroteForTheNext) {
  REQUIRE_KVM();
  const Outcome first =
      run("echo hello > /data/file && mkdir /data/d && ln /data/file /data/d/again &&"
          " ln -s d/again /data/link && chmod 600 /data/file && mv /data/d /data/e &&"
          " mkdir /data/x && rmdir /data/x && cp /bin/busybox /data/busybox && df /data | tail -1");
  EXPECT_EQ(first.exit_code, 0) << first.output << first.errors;
  EXPECT_THAT(first.output, HasSubstr("the blank disk was formatted"));
  expect_sound();
  const Outcome second =
      run("cat /data/e/again; ls -l /data | grep -c rw-------; readlink /data/link;"
          " /data/busybox echo it runs; rm /data/busybox; ls /data/lost+found");
  EXPECT_EQ(second.exit_code, 0) << second.output << second.errors;
  EXPECT_EQ(second.output, "hello\n1\nd/again\nit runs\n");
  expect_sound();
}

TEST_F(Disk, IsNotTouchedUntilItIsLookedAt) {
  REQUIRE_KVM();
  EXPECT_EQ(run("echo other > /tmp/file && ls /tmp").output, "file\n");
  std::string start(4096, 'x');
  std::ifstream(image_).read(start.data(), static_cast<std::streamsize>(start.size()));
  EXPECT_TRUE(start == std::string(4096, '\0'));
}

TEST_F(Disk, OfSomethingElseGivesErrorsAndStaysAsItWas) {
  REQUIRE_KVM();
  std::ofstream(image_, std::ios::in | std::ios::out) << "not a file system";
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
  expect_sound();
}

// Each round of the guest's loop writes a file, syncs it and says so; then it stays.
TEST_F(Disk, LosesNothingThatWasSyncedWhenThePowerIsCut) {
  REQUIRE_KVM();
  const char* wanted = std::getenv("ENSEMBLE_POWER_CUTS");
  const int cuts = wanted == nullptr ? 5 : std::atoi(wanted);
  std::mt19937 random(1);
  int next = 1;
  for (int cut = 0; cut < cuts && !HasFailure(); ++cut) {
    ChildProcess guest(
        program_directory() + "/ensemble",
        command("i=" + std::to_string(next) +
                "; while :; do yes $i | dd of=/data/f$i bs=1000 count=7 iflag=fullblock conv=fsync"
                " 2>/dev/null && echo synced $i; rm -f /data/f$((i-8)); i=$((i+1)); done"));
    ASSERT_TRUE(guest.read_until("synced " + std::to_string(next), default_limit()));
    static_cast<void>(guest.read_until("never", std::chrono::milliseconds(random() % 700)));
    // The machine's process first, so that nothing ends in order.
    const std::string task = std::to_string(guest.pid());
    pid_t machine = 0;
    std::ifstream("/proc/" + task + "/task/" + task + "/children") >> machine;
    ASSERT_GT(machine, 0);
    ::kill(machine, SIGKILL);
    const std::string output = guest.wait(default_limit()).output;
    const std::size_t at = output.rfind("synced ");
    ASSERT_NE(at, output.npos);
    const int last = std::atoi(output.c_str() + at + 7);
    const Outcome replay = tool("e2fsck", {"-fy"});
    EXPECT_LE(replay.exit_code, 1) << replay.output;
    EXPECT_THAT(replay.output, Not(HasSubstr("Fix")));
    expect_sound();
    for (int i = std::max(next, last - 6); i <= last; ++i) {
      const Outcome content = tool("debugfs", {"-R", "cat /f" + std::to_string(i)});
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
