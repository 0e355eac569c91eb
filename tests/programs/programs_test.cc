// Debian's own programs, unchanged, in a device: short forms of what scripts/linux-programs runs at
// length. The root comes from scripts/rootfs, made once and kept in the build folder.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/programs/debian_root.h"

namespace ensemble::programs {
namespace {

using integration::Outcome;
using std::chrono::seconds;
using testing::HasSubstr;

class Programs : public testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_KVM();
    REQUIRE_DEBIAN_ROOT();
  }

  // Runs a script for bash in a directory that may be written. Its errors go to the output.
  static Outcome run(const std::string& script) {
    return integration::run_ensemble(
        {"run", "phone", "--cpus", "2", "--rootfs", debian_root(), "--", "/bin/bash", "-c",
         "export PATH=/usr/bin:/bin HOME=/tmp; cd /tmp; exec 2>&1\n" + script},
        {}, integration::on_lane_s() ? seconds(600) : seconds(150));
  }

  // Runs cases/NAME.sh, which prints cases/NAME.out and ends well.
  static void run_case(const std::string& name) {
    const std::string path = ENSEMBLE_SOURCE "/tests/programs/cases/" + name;
    const Outcome outcome = run(read(path + ".sh"));
    EXPECT_EQ(outcome.output, read(path + ".out")) << outcome.errors;
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_FALSE(outcome.timed_out);
  }

 private:
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file) << path;
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(Programs, ShellRunsPipelinesJobsAndTraps) {
  run_case("shell");
}

TEST_F(Programs, DashRunsScripts) {
  run_case("dash");
}

TEST_F(Programs, CompilerMakesAProgramThatRuns) {
  run_case("compiler");
}

TEST_F(Programs, CompilerMakesLibrariesAndThreads) {
  run_case("compiling");
}

TEST_F(Programs, DatabaseKeepsWhatItIsGiven) {
  run_case("database");
}

TEST_F(Programs, ArchivesComeBackAsTheyWere) {
  run_case("archives");
}

TEST_F(Programs, TextToolsAgree) {
  run_case("text");
}

TEST_F(Programs, SmallToolsAgree) {
  run_case("coreutils");
}

TEST_F(Programs, EditorsAndInterpretersAgree) {
  run_case("editors");
}

TEST_F(Programs, PythonUsesThreadsProcessesAndSignals) {
  run_case("python");
}

// So many operations, rather than seconds: a busy host changes how long it takes only.
TEST_F(Programs, StressFindsNothingWrong) {
  const Outcome outcome =
      run("stress-ng --temp-path /tmp --timeout 100 --cpu 1 --cpu-ops 20 --pipe 1 --pipe-ops 1000 "
          "--fork 1 --fork-ops 5 --switch 1 --switch-ops 200 --poll 1 --poll-ops 4 "
          "--mutex 1 --mutex-ops 50 --vm 1 --vm-bytes 4m --vm-ops 20");
  EXPECT_THAT(outcome.output, HasSubstr("successful run completed")) << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
}

}  // namespace
}  // namespace ensemble::programs
