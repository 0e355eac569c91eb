#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

using Clock = std::chrono::steady_clock;

// `ensemble` on a terminal of its own.
class TerminalSession {
 public:
  explicit TerminalSession(Arguments arguments) {
    const std::string program = program_directory() + "/ensemble";
    int terminal = -1;
    pid_ = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      std::vector<char*> argv{const_cast<char*>(program.c_str())};
      for (std::string& argument : arguments) {
        argv.push_back(argument.data());
      }
      argv.push_back(nullptr);
      ::execv(program.c_str(), argv.data());
      ::_exit(127);
    }
    terminal_ = vmm::FileDescriptor(terminal);
    wait_until_raw();
  }
  TerminalSession(const TerminalSession&) = delete;
  ~TerminalSession() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  void type(const std::string& keys) {
    ASSERT_EQ(::write(terminal_.get(), keys.data(), keys.size()),
              static_cast<ssize_t>(keys.size()));
  }

  bool shows(const std::string& text) {
    const auto end = Clock::now() + default_limit();
    while (screen_.find(text) == std::string::npos && Clock::now() < end && read()) {
    }
    return screen_.find(text) != std::string::npos;
  }

  // The exit code, or -1 when it does not end.
  int wait() {
    const auto end = Clock::now() + default_limit();
    int status = 0;
    while (Clock::now() < end) {
      read();
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
    }
    return -1;
  }

  const std::string& screen() const { return screen_; }

 private:
  // Until the terminal is the device's, what is typed would be echoed by the host as well.
  void wait_until_raw() {
    const auto end = Clock::now() + default_limit();
    termios settings{};
    while (Clock::now() < end && ::tcgetattr(terminal_.get(), &settings) == 0 &&
           (settings.c_lflag & ICANON) != 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  bool read() {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(terminal_.get(), &readable);
    timeval limit{0, 20'000};
    if (::select(terminal_.get() + 1, &readable, nullptr, nullptr, &limit) <= 0) {
      return true;
    }
    std::array<char, 4096> buffer;
    const ssize_t count = ::read(terminal_.get(), buffer.data(), buffer.size());
    if (count <= 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return false;
    }
    screen_.append(buffer.data(), static_cast<std::size_t>(count));
    return true;
  }

  pid_t pid_ = -1;
  vmm::FileDescriptor terminal_;
  std::string screen_;
};

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
