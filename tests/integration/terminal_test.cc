#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/terminal_session.h"

namespace ensemble::integration {
namespace {

TEST(Terminal, KeysReachTheCommandAndItsEchoTheScreen) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch", "--", "/bin/busybox", "head", "-n", "1"});
  session.type("hello\r");
  EXPECT_TRUE(session.shows("hello\r\nhello\r\n")) << session.screen();
  EXPECT_EQ(session.wait(), 0);
}

TEST(Terminal, ControlAThenXStopsTheDevice) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch", "--", "/bin/busybox", "cat"});
  session.type("ready\r");
  ASSERT_TRUE(session.shows("ready\r\nready")) << session.screen();
  session.type("\x01x");
  EXPECT_EQ(session.wait(), 0) << session.screen();
}

TEST(Terminal, ControlCReachesTheDeviceAndDoesNotEndEnsembleItself) {
  REQUIRE_KVM();
  TerminalSession session({"run", "watch", "--", "/bin/busybox", "cat"});
  session.type("ready\r");
  ASSERT_TRUE(session.shows("ready\r\nready")) << session.screen();
  session.type("\x03");
  // The guest's terminal decides: it shows ^C, and may end the command by SIGINT.
  EXPECT_TRUE(session.shows("^C")) << session.screen();
  session.type("\x01x");
  const int exit_code = session.wait();
  EXPECT_TRUE(exit_code == 0 || exit_code == 130) << exit_code << session.screen();
}

TEST(Signals, TerminateTheDeviceAndAreTold) {
  REQUIRE_KVM();
  ChildProcess process(program_directory() + "/ensemble",
                       {"run", "watch", "--", "/bin/busybox", "cat"});
  process.write("ready\n");
  ASSERT_TRUE(process.read_until("ready", default_limit()));
  process.signal(SIGTERM);
  const Outcome outcome = process.wait(default_limit());
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.exit_code, 128 + SIGTERM);
}

}  // namespace
}  // namespace ensemble::integration
