#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// What a user of any product runs first: Debian's own busybox, unchanged.
class EachProfile : public testing::TestWithParam<const char*> {
 protected:
  Outcome run(const Arguments& command) {
    Arguments arguments{"run", GetParam(), "--"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return run_ensemble(arguments);
  }
};

INSTANTIATE_TEST_SUITE_P(Profiles, EachProfile, testing::Values("phone", "tablet", "watch"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(EachProfile, RunsDebiansBusyboxAsLinux) {
  REQUIRE_KVM();
  const Outcome outcome = run({"/bin/busybox", "uname", "-sm"});
  EXPECT_EQ(outcome.output, "Linux x86_64\n") << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.errors, "");
}

TEST_P(EachProfile, ExitsAsTheCommandDoes) {
  REQUIRE_KVM();
  EXPECT_EQ(run({"/bin/busybox", "true"}).exit_code, 0);
  EXPECT_EQ(run({"/bin/busybox", "false"}).exit_code, 1);
}

TEST(Command, GetsItsArgumentsUnchanged) {
  REQUIRE_KVM();
  const Outcome outcome = run_ensemble(
      {"run", "watch", "--", "/bin/busybox", "printf", "[%s]", "", "a b", "--cpus", "$HOME", "ü"});
  EXPECT_EQ(outcome.output, "[][a b][--cpus][$HOME][ü]") << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST(Command, ThatIsMissingExitsWith127) {
  REQUIRE_KVM();
  const Outcome outcome = run_ensemble({"run", "watch", "--", "/bin/no-such-program"});
  EXPECT_EQ(outcome.exit_code, 127);
  EXPECT_THAT(outcome.output + outcome.errors, HasSubstr("/bin/no-such-program"));
}

TEST(Command, ThatIsNoProgramExitsWith126) {
  REQUIRE_KVM();
  const Outcome outcome = run_ensemble({"run", "watch", "--", "/etc/passwd"});
  EXPECT_EQ(outcome.exit_code, 126);
  EXPECT_THAT(outcome.output + outcome.errors, HasSubstr("/etc/passwd"));
}

TEST(Command, ReadsFilesOfItsRoot) {
  REQUIRE_KVM();
  const Outcome outcome =
      run_ensemble({"run", "watch", "--", "/bin/busybox", "cat", "/etc/hostname"});
  EXPECT_EQ(outcome.output, "ensemble\n") << outcome.errors;
}

TEST(Command, FindsWhatProcTells) {
  REQUIRE_KVM();
  const Outcome memory = run_ensemble(
      {"run", "watch", "--memory", "64M", "--", "/bin/busybox", "cat", "/proc/meminfo"});
  EXPECT_THAT(memory.output, StartsWith("MemTotal:")) << memory.errors;
  const Outcome processors =
      run_ensemble({"run", "watch", "--cpus", "3", "--", "/bin/busybox", "cat", "/proc/cpuinfo"});
  EXPECT_THAT(processors.output, HasSubstr("processor\t: 2"));
  EXPECT_THAT(processors.output, testing::Not(HasSubstr("processor\t: 3")));
}

TEST(Command, TakesItsInputFromTheConsole) {
  REQUIRE_KVM();
  ChildProcess process(program_directory() + "/ensemble",
                       {"run", "watch", "--", "/bin/busybox", "head", "-n", "1"});
  process.write("one line\n");
  ASSERT_TRUE(process.read_until("one line", default_limit()));
  EXPECT_EQ(process.wait(default_limit()).exit_code, 0);
}

// A pipe is no keyboard: no echo, no editing, no signals.
TEST(Command, TakesItsInputFromAPipeAsItIs) {
  REQUIRE_KVM();
  ChildProcess process(program_directory() + "/ensemble",
                       {"run", "watch", "--", "/bin/busybox", "od", "-A", "n", "-t", "x1"});
  process.write("a\x03\x15\x7f\r\n");
  process.close_input();
  const Outcome outcome = process.wait(default_limit());
  EXPECT_EQ(outcome.output, " 61 03 15 7f 0d 0a\n") << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST(Command, MayPrintMuch) {
  REQUIRE_KVM();
  const int lines = on_lane_s() ? 100 : 1000;
  const Outcome outcome =
      run_ensemble({"run", "watch", "--", "/bin/busybox", "seq", std::to_string(lines)}, {},
                   default_limit() * 3);
  ASSERT_FALSE(outcome.timed_out);
  std::string expected;
  for (int line = 1; line <= lines; ++line) {
    expected += std::to_string(line) + "\n";
  }
  EXPECT_TRUE(outcome.output == expected) << outcome.output.substr(0, 200) << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST(Processes, RunInPipelines) {
  REQUIRE_KVM();
  const Outcome outcome =
      run_ensemble({"run", "watch", "--", "/bin/busybox", "sh", "-c",
                    "for i in 1 2 3; do echo line $i; done | /bin/busybox grep -v 2 > /tmp/out; "
                    "/bin/busybox cat /tmp/out; (exit 7); echo code $?"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_EQ(outcome.output, "line 1\nline 3\ncode 7\n");
}

// Also what shows that interrupts reach a program which computes after a system call.
TEST(Processes, ThatComputeArePreemptedAndCanBeKilled) {
  REQUIRE_KVM();
  for (const char* processors : {"1", "2"}) {
    const Outcome outcome = run_ensemble(
        {"run", "watch", "--cpus", processors, "--", "/bin/busybox", "sh", "-c",
         "while :; do :; done & /bin/busybox sleep 0.2; kill $!; wait $!; echo status $?"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
    EXPECT_NE(outcome.output.find("status 143"), std::string::npos) << outcome.output;
  }
}

}  // namespace
}  // namespace ensemble::integration
