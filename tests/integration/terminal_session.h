#pragma once

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/ensemble_process.h"

namespace ensemble::integration {

// `ensemble` on a terminal of its own.
class TerminalSession {
 public:
  explicit TerminalSession(Arguments arguments, winsize size = {}) {
    const std::string program = program_directory() + "/ensemble";
    int terminal = -1;
    pid_ = ::forkpty(&terminal, nullptr, nullptr, &size);
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

  // Whether the text comes to be on the screen.
  bool shows(const std::string& text) {
    const auto end = Clock::now() + default_limit();
    while (screen_.find(text) == std::string::npos && Clock::now() < end && read()) {
    }
    return screen_.find(text) != std::string::npos;
  }

  // The same, behind what earlier calls have found.
  bool shows_next(const std::string& text, std::chrono::milliseconds limit = default_limit()) {
    const auto end = Clock::now() + limit;
    std::size_t at = 0;
    while ((at = screen_.find(text, seen_)) == std::string::npos && Clock::now() < end && read()) {
    }
    if (at != std::string::npos) {
      seen_ = at + text.size();
    }
    return at != std::string::npos;
  }

  void resize(unsigned short columns, unsigned short rows) {
    const winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ASSERT_EQ(::ioctl(terminal_.get(), TIOCSWINSZ, &size), 0);
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
  using Clock = std::chrono::steady_clock;

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
  std::size_t seen_ = 0;
};

}  // namespace ensemble::integration
