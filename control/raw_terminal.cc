#include "control/raw_terminal.h"

#include <sys/ioctl.h>
#include <termios.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>

namespace ensemble::control {
namespace {

// What the handler of fatal signals needs; plain objects, as it may run at any time.
std::atomic<int> raw_descriptor = -1;
int terminal_descriptor = -1;
termios saved_settings;

constexpr std::array kFatalSignals = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

void restore_and_die(int signal_number) {
  const int descriptor = raw_descriptor.exchange(-1);
  if (descriptor >= 0) {
    ::tcsetattr(descriptor, TCSANOW, &saved_settings);
  }
  ::raise(signal_number);  // SA_RESETHAND has put the default action back.
}

void set_fatal_handlers(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int signal_number : kFatalSignals) {
    ::sigaction(signal_number, &action, nullptr);
  }
}

}  // namespace

TerminalSize terminal_size(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return {};
  }
  return {size.ws_col, size.ws_row};
}

RawTerminal::RawTerminal(int descriptor) {
  terminal_descriptor = descriptor;
}

RawTerminal::~RawTerminal() {
  leave();
}

Result<void> RawTerminal::enter() {
  leave();
  if (::tcgetattr(terminal_descriptor, &saved_settings) != 0) {
    return std::unexpected(Error::from_errno("cannot read the terminal's settings", errno));
  }
  termios raw = saved_settings;
  ::cfmakeraw(&raw);
  raw.c_oflag = saved_settings.c_oflag;
  set_fatal_handlers(restore_and_die);
  raw_descriptor = terminal_descriptor;
  if (::tcsetattr(terminal_descriptor, TCSADRAIN, &raw) != 0) {
    const int error_number = errno;
    leave();
    return std::unexpected(Error::from_errno("cannot make the terminal raw", error_number));
  }
  return {};
}

void RawTerminal::leave() {
  const int descriptor = raw_descriptor.exchange(-1);
  if (descriptor >= 0) {
    ::tcsetattr(descriptor, TCSADRAIN, &saved_settings);
    set_fatal_handlers(SIG_DFL);
  }
}

}  // namespace ensemble::control
