// The shell that a device without a command gives: on a terminal, and on a pipe.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"
#include "tests/integration/terminal_session.h"

namespace ensemble::integration {
namespace {

constexpr winsize kSize{.ws_row = 33, .ws_col = 101, .ws_xpixel = 0, .ws_ypixel = 0};
constexpr const char* kControlC = "\x03";
constexpr const char* kControlZ = "\x1a";

// What a command prints is told from its echo by quotes: the echo has them. Keys that are to be
// signals are typed once the command runs: a shell that edits its line takes them as keys.
class Shell : public testing::Test {
 protected:
  void run(TerminalSession& session, const std::string& line, const std::string& expected) {
    session.type(line + "\r");
    EXPECT_TRUE(session.shows_next(expected)) << line << "\n" << session.screen();
  }

  void use_job_control(TerminalSession& session) {
    const std::string job =
        "sh -c 'trap \"echo b''ack\" CONT; echo r''uns; while :; do sleep 0.1; done'";
    run(session, job, "\r\nruns");
    session.type(kControlC);
    run(session, "echo st'at'us $?", "status 130");
    run(session, job, "\r\nruns");
    session.type(kControlZ);
    ASSERT_TRUE(session.shows_next("Stopped")) << session.screen();
    run(session, "jobs", "Stopped");
    run(session, "bg", "back");
    session.type("\r");
    run(session, "jobs", "Running");
    run(session, "fg", "sh -c");
    ASSERT_TRUE(session.shows_next("\r\n")) << session.screen();
    std::this_thread::sleep_for(std::chrono::milliseconds(300) * patience());
    session.type(kControlC);
    run(session, "echo go'n'e $?", "gone 130");
    run(session, "sleep 0.2 & wait $!; echo wai'te'd $?", "waited 0");
  }
};

TEST_F(Shell, OnATerminalHasAPromptPipelinesAndHereDocuments) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch"}, kSize);
  ASSERT_TRUE(session.shows_next("watch:~# ")) << session.screen();
  run(session, "echo o'n'e | tr a-z A-Z | sed s/^/=/", "=ONE");
  run(session, "cat <<end | wc -l\rtwo\rlines\rend", "2\r\n");
  run(session, "echo h'om'e $HOME $(tty)", "home /root /dev/console");
  session.type("exit 42\r");
  EXPECT_EQ(session.wait(), 42) << session.screen();
}

TEST_F(Shell, OnATerminalControlsJobs) {
  REQUIRE_KVM();
  TerminalSession session({"run", "phone"}, kSize);
  ASSERT_TRUE(session.shows_next("phone:~# ")) << session.screen();
  use_job_control(session);
  session.type("exit\r");
  EXPECT_EQ(session.wait(), 0) << session.screen();
}

TEST_F(Shell, OnATerminalEditsItsLine) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch"}, kSize);
  ASSERT_TRUE(session.shows_next("# ")) << session.screen();
  constexpr const char* kBackspace = "\x7f";
  constexpr const char* kLeft = "\x1b[D";
  constexpr const char* kUp = "\x1b[A";
  run(session, std::string("echo ed''ix") + kBackspace + "ted", "\r\nedited");
  run(session, std::string("echo l''ft") + kLeft + kLeft + "e", "\r\nleft");
  run(session, std::string("no such thing\x15") + "echo k''illed", "\r\nkilled");
  run(session, kUp, "\r\nkilled");
}

// The host's own bash with its libraries, as a root file system has them.
TEST_F(Shell, IsBashWhereTheRootFileSystemHasIt) {
  REQUIRE_KVM();
  const TemporaryFolder folder;
  const std::string root = folder.path("root.cpio");
  Arguments arguments{"-o", root, "--dir", "dev", "--dir", "proc", "--dir", "root"};
  for (const char* applet : {"sh", "sleep", "stty", "tr", "sed", "cat", "wc", "tty"}) {
    arguments.insert(arguments.end(), {"--link", std::string("bin/") + applet + "=busybox"});
  }
  arguments.insert(arguments.end(), {"bin/busybox=/bin/busybox:755", "bin/bash=/bin/bash:755"});
  for (const std::string library : {"lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6",
                                    "lib/x86_64-linux-gnu/libtinfo.so.6"}) {
    if (!std::filesystem::exists("/" + library)) {
      GTEST_SKIP() << "/" << library << ", which Debian's bash needs, is not on this host";
    }
    arguments.push_back(library + "=/" + library + ":755");
  }
  const Outcome packed =
      ChildProcess(ENSEMBLE_SOURCE "/scripts/pack-cpio", arguments).wait(default_limit() * 3);
  ASSERT_EQ(packed.exit_code, 0) << packed.errors;
  TerminalSession session({"run", "phone", "--rootfs", root}, kSize);
  ASSERT_TRUE(session.shows_next("phone:~# ")) << session.screen();
  run(session, "echo v''ersion ${BASH_VERSION%%.*}", "version 5");
  run(session, "cat <<end | wc -l\rtwo\rlines\rend", "2\r\n");
  use_job_control(session);
  session.type("exit 3\r");
  EXPECT_EQ(session.wait(), 3) << session.screen();
}

TEST_F(Shell, KnowsTheTerminalsSizeAndItsChange) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch"}, kSize);
  ASSERT_TRUE(session.shows_next("# ")) << session.screen();
  run(session, "stty size", "33 101");
  session.resize(120, 50);
  run(session, "sh -c 'trap \"stty size\" WINCH; echo r''uns; while :; do sleep 0.1; done'",
      "\r\nruns");
  session.resize(77, 20);
  EXPECT_TRUE(session.shows_next("20 77")) << session.screen();
  session.type(kControlC);
  run(session, "stty size", "20 77");
}

// Each process starts two more, without end, and waits for them or not. The shell's other jobs go
// on; the bomb's own processes fail, and none is left.
TEST_F(Shell, OutlivesForkBombsThatEndInTheirOwnErrors) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch", "--memory", "64M"}, kSize);
  ASSERT_TRUE(session.shows_next("# ")) << session.screen();
  run(session, "processes() { ls -d /proc/[1-9]* | wc -l; }; echo re''ady", "\r\nready");
  for (const char* bomb : {"b() { b & b & wait; }", "b() { b | b & }"}) {
    session.type(std::string(bomb) + "; rm -f /tmp/errors; b 2> /tmp/errors &\r");
    session.type("until grep -s -q 'fork: Resource' /tmp/errors; do sleep 0.1; done; ");
    session.type("echo f''ailed\r");
    EXPECT_TRUE(session.shows_next("\r\nfailed", default_limit() * 3)) << session.screen();
    session.type("while [ $(processes) -gt 6 ]; do sleep 0.1; done; echo al''one\r");
    EXPECT_TRUE(session.shows_next("\r\nalone", default_limit() * 3)) << session.screen();
  }
}

TEST_F(Shell, OutlivesProgramsThatTakeAllMemory) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch", "--memory", "64M"}, kSize);
  ASSERT_TRUE(session.shows_next("# ")) << session.screen();
  // A large piece that there is no room for is refused. Small ones are not, so the program with
  // most of them is killed.
  run(session, "busybox awk 'BEGIN { x = \"x\"; for (;;) x = x x }'; echo st''atus $?",
      "\r\nstatus 1\r");
  run(session, "busybox awk 'BEGIN { for (;;) x[n++] = n }'; echo st''atus $?", "\r\nstatus 137\r");
  run(session, "ls /bin | grep -x bus''ybox", "\r\nbusybox");
}

TEST_F(Shell, OnAPipeReadsItsCommandsWithoutAPrompt) {
  REQUIRE_KVM();
  ChildProcess process(program_directory() + "/ensemble", {"run", "watch"});
  process.write("echo one\nread x\ntwo\necho got $x\ncd /tmp && pwd\nexit 7\necho never\n");
  process.close_input();
  const Outcome outcome = process.wait(default_limit());
  EXPECT_EQ(outcome.output, "one\ngot two\n/tmp\n") << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 7);
}

}  // namespace
}  // namespace ensemble::integration
