// `ensemble run` with real processes and small kernels of our own. Lane P and lane S.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "control/sha256.h"
#include "control/small_file.h"
#include "tests/control/running_command.h"
#include "tests/control/temporary_directory.h"
#include "tests/control/test_guests.h"

namespace ensemble::control {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;
using Input = RunningCommand::Input;

class Run : public testing::Test {
 protected:
  void SetUp() override {
    if (::access("/dev/kvm", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "needs /dev/kvm";
    }
  }

  RunningCommand::Options interactive(const std::string& name, Input input) {
    return {.arguments = run_guest(name),
            .environment = bare(),
            .input = input,
            .output_file = {},
            .unprivileged = false};
  }
};

// Whether `process` and its name are gone, as they soon are.
// A container's first process may never reap what it inherits: a zombie has ended, too.
bool has_ended(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');
  return name_end == std::string::npos || text.compare(name_end, 3, ") Z") == 0;
}

bool ends_soon(pid_t process) {
  for (int i = 0; i < 1000; ++i) {
    if (has_ended(process)) {
      return true;
    }
    ::usleep(10'000);
  }
  return false;
}

TEST_F(Run, PrintsTheConsoleAndReturnsTheGuestsExitCode) {
  const auto result = run_ensemble(run_guest("hello"), bare());
  EXPECT_EQ(result.output, "hello from the guest\n");
  EXPECT_EQ(result.errors, "");
  EXPECT_EQ(result.exit_code, 42);
}

TEST_F(Run, RunsOnEightCpus) {
  EXPECT_EQ(run_ensemble(run_guest("hello", {"--cpus", "8"}), bare()).exit_code, 42);
}

TEST_F(Run, RunsWithTheLeastAndWithMuchMemory) {
  EXPECT_EQ(run_ensemble(run_guest("hello", {"--memory", "16M"}), bare()).exit_code, 42);
  EXPECT_EQ(run_ensemble(run_guest("hello", {"--memory", "6G"}), bare()).exit_code, 42);
}

TEST_F(Run, WritesAReport) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("report.json");
  const auto result = run_ensemble(
      run_guest("hello", {"--report", path, "--cpus", "2", "--memory", "64M"}), bare());
  EXPECT_EQ(result.exit_code, 42);
  EXPECT_EQ(directory.entries().size(), 1U);
  const Json report = Json::parse(read_small_file(path).value_or("null"));
  EXPECT_EQ(report["profile"], "watch");
  EXPECT_EQ(report["kernel_sha256"], file_sha256(guest("hello")).value());
  EXPECT_EQ(report["vcpus"], 2);
  EXPECT_EQ(report["memory_mib"], 64);
  EXPECT_EQ(report["exit_code"], 42);
  EXPECT_THAT(report["accelerator"].get<std::string>(), testing::StartsWith("kvm"));
  EXPECT_GT(report["boot"]["vmm_start_to_entry_us"], 0);
  EXPECT_LT(report["boot"]["vmm_start_to_entry_us"], 5'000'000);
  EXPECT_TRUE(report["boot"]["entry_to_first_user_us"].is_null());
  EXPECT_GE(report["boot"]["entry_to_command_us"], 0);
  EXPECT_EQ(report["boot"]["total_us"].get<long>(),
            report["boot"]["vmm_start_to_entry_us"].get<long>() +
                report["boot"]["entry_to_command_us"].get<long>());
  EXPECT_GT(report["memory"]["vmm_rss_kib"], 500);
  EXPECT_GT(report["memory"]["guest_touched_kib"], 0);
  EXPECT_LT(report["memory"]["guest_touched_kib"], 1024);
  EXPECT_GE(report["exits"]["port_write"], 21) << "one for each character";
}

TEST_F(Run, FailsWhenTheReportsDiskIsFull) {
  const auto result = run_ensemble(run_guest("hello", {"--report", "/dev/full"}), bare());
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.errors, "ensemble: cannot write '/dev/full': No space left on device\n");
}

TEST_F(Run, SaysThatTheGuestTripleFaulted) {
  const auto result = run_ensemble(run_guest("triple_fault"), bare());
  EXPECT_EQ(result.output, "about to fault\n");
  EXPECT_THAT(result.errors, HasSubstr("the device failed: "));
  EXPECT_EQ(result.exit_code, 125);
}

TEST_F(Run, StartsAgainAfterAReset) {
  RunningCommand command(interactive("reset", Input::kNone));
  EXPECT_TRUE(command.wait_for_output("started\nstarted\nstarted\n"));
  command.send_signal(SIGTERM);
  EXPECT_EQ(command.finish().exit_code, 128 + SIGTERM);
}

TEST_F(Run, PassesInputOnAndItsEnd) {
  RunningCommand command(interactive("echo", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("ready"));
  command.type("some input\n");
  ASSERT_TRUE(command.wait_for_output("some input\n"));
  command.end_input();
  EXPECT_EQ(command.finish().exit_code, 7);
}

TEST_F(Run, EndsInputThatHasNoBytes) {
  RunningCommand command(interactive("echo", Input::kNone));
  EXPECT_EQ(command.finish().exit_code, 7);
}

TEST_F(Run, EscapeKeysAreOrdinaryBytesInAPipe) {
  RunningCommand command(interactive("echo", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("ready"));
  command.type("\x01xy");
  EXPECT_TRUE(command.wait_for_output("\x01xy"));
  command.end_input();
  EXPECT_EQ(command.finish().exit_code, 7);
}

class RunSignal : public Run, public testing::WithParamInterface<int> {};

TEST_P(RunSignal, StopsALoopingDevice) {
  RunningCommand command(interactive("loop", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("looping"));
  const auto processes = vmm_processes_of(command.process());
  ASSERT_EQ(processes.size(), 1U);
  command.send_signal(GetParam());
  const auto result = command.finish(std::chrono::seconds(10));
  EXPECT_EQ(result.exit_code, 128 + GetParam());
  EXPECT_EQ(result.errors, "");
  EXPECT_TRUE(ends_soon(processes[0]));
}

INSTANTIATE_TEST_SUITE_P(Signals, RunSignal, testing::Values(SIGINT, SIGTERM, SIGHUP, SIGQUIT),
                         [](const auto& signal) { return ::sigabbrev_np(signal.param); });

TEST_F(Run, StopsADeviceThatHalted) {
  RunningCommand command(interactive("halt", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("halted"));
  command.send_signal(SIGTERM);
  EXPECT_EQ(command.finish(std::chrono::seconds(10)).exit_code, 128 + SIGTERM);
}

TEST_F(Run, KilledItTakesItsDeviceWithIt) {
  RunningCommand command(interactive("loop", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("looping"));
  const auto processes = vmm_processes_of(command.process());
  ASSERT_EQ(processes.size(), 1U);
  command.send_signal(SIGKILL);
  command.finish();
  EXPECT_TRUE(ends_soon(processes[0]));
}

TEST_F(Run, SaysThatTheDevicesProcessDied) {
  RunningCommand command(interactive("loop", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("looping"));
  const auto processes = vmm_processes_of(command.process());
  ASSERT_EQ(processes.size(), 1U);
  ::kill(processes[0], SIGKILL);
  const auto result = command.finish();
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_THAT(result.errors, HasSubstr("ensemble-vmm was killed by signal 9"));
}

TEST_F(Run, AFloodNeitherGrowsNorHangs) {
#ifdef ENSEMBLE_SANITIZED
  GTEST_SKIP() << "a sanitizer's own memory is all that would be measured";
#endif
  RunningCommand command(interactive("flood", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("0123456789abcdef"));
  const auto processes = vmm_processes_of(command.process());
  ASSERT_EQ(processes.size(), 1U);
  ::sleep(1);  // Nobody reads meanwhile.
  for (const pid_t process : {command.process(), processes[0]}) {
    std::ifstream statm("/proc/" + std::to_string(process) + "/statm");
    long size = 0;
    long resident = 0;
    long shared = 0;
    statm >> size >> resident >> shared;
    EXPECT_LT((resident - shared) * 4, 8192) << "KiB of private memory";
  }
  command.send_signal(SIGTERM);
  EXPECT_EQ(command.finish(std::chrono::seconds(10)).exit_code, 128 + SIGTERM);
}

TEST_F(Run, StopsWhenNobodyReadsItsOutput) {
  RunningCommand command(interactive("flood", Input::kPipe));
  ASSERT_TRUE(command.wait_for_output("0123456789abcdef"));
  command.close_output();
  const auto result = command.finish(std::chrono::seconds(10));
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 128 + SIGPIPE);
  EXPECT_EQ(result.errors, "");
}

TEST_F(Run, SaysThatItsOutputIsFull) {
  auto options = interactive("hello", Input::kNone);
  options.output_file = "/dev/full";
  RunningCommand command(options);
  const auto result = command.finish();
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.errors,
            "ensemble: cannot write the console to standard output: No space left on device\n");
}

class RunTerminal : public Run {
 protected:
  RunTerminal() : command_(interactive("echo", Input::kTerminal)) {}

  termios settings() {
    termios settings{};
    ::tcgetattr(command_.terminal(), &settings);
    return settings;
  }
  bool is_raw() { return (settings().c_lflag & (ICANON | ECHO | ISIG)) == 0; }

  RunningCommand command_;
};

TEST_F(RunTerminal, PassesControlCOn) {
  ASSERT_TRUE(command_.wait_for_output("ready"));
  EXPECT_TRUE(is_raw());
  command_.type("\x03");
  EXPECT_TRUE(command_.wait_for_output("^C"));
  command_.type("\x04");
  EXPECT_EQ(command_.finish().exit_code, 7);
}

TEST_F(RunTerminal, ControlAXStopsTheDevice) {
  ASSERT_TRUE(command_.wait_for_output("ready"));
  command_.type("\x01x");
  const auto result = command_.finish(std::chrono::seconds(10));
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 0);
}

TEST_F(RunTerminal, ControlAHHelpsAndControlAAIsPassedOn) {
  ASSERT_TRUE(command_.wait_for_output("ready"));
  command_.type(
      "\x01h\x01"
      "ab");
  EXPECT_TRUE(
      command_.wait_for_output("\x01"
                               "b"));
  command_.type("\x04");
  EXPECT_THAT(command_.finish().errors, HasSubstr("Ctrl-A x  stop the device"));
}

// The terminal's settings are read from a descriptor that outlives the command.
TEST_F(RunTerminal, PutsTheTerminalBackHoweverItEnds) {
  ASSERT_TRUE(command_.wait_for_output("ready"));
  const int held = ::dup(command_.terminal());
  const vmm::FileDescriptor terminal(held);
  command_.send_signal(SIGTERM);
  command_.finish();
  termios after{};
  ASSERT_EQ(::tcgetattr(terminal.get(), &after), 0);
  EXPECT_NE(after.c_lflag & ICANON, 0U);
  EXPECT_NE(after.c_lflag & ECHO, 0U);
}

TEST_F(RunTerminal, PutsTheTerminalBackWhenItCrashes) {
  ASSERT_TRUE(command_.wait_for_output("ready"));
  const vmm::FileDescriptor terminal(::dup(command_.terminal()));
  command_.send_signal(SIGSEGV);
  EXPECT_EQ(command_.finish().exit_code, 128 + SIGSEGV);
  termios after{};
  ASSERT_EQ(::tcgetattr(terminal.get(), &after), 0);
  EXPECT_NE(after.c_lflag & ICANON, 0U);
}

TEST_F(RunTerminal, ClosingTheTerminalStopsTheDevice) {
  ASSERT_TRUE(command_.wait_for_output("ready"));
  const auto processes = vmm_processes_of(command_.process());
  ASSERT_EQ(processes.size(), 1U);
  command_.close_output();
  command_.end_input();
  command_.finish(std::chrono::seconds(10));
  EXPECT_TRUE(ends_soon(processes[0]));
}

}  // namespace
}  // namespace ensemble::control
