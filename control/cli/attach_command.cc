#include "control/cli/attach_command.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <thread>

#include "control/cli/device_output.h"
#include "control/cli/signals.h"
#include "control/escape_keys.h"
#include "control/raw_terminal.h"
#include "vmm/event_fd.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

constexpr std::string_view kHelp =
    "\r\nCtrl-A x  leave the console; the device goes on\r\n"
    "Ctrl-A a  send Ctrl-A to the device\r\n"
    "Ctrl-A h  this help\r\n";
constexpr std::size_t kChunk = 16384;

// Leaves the console when told to by `end`, or by a signal. On a thread of its own: typing may wait
// for a device that does not read.
void leave_when_told(ConsoleAttachment& console, const vmm::EventFd& end, int signals) {
  std::array<pollfd, 2> polled = {pollfd{.fd = end.fd(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = signals, .events = POLLIN, .revents = 0}};
  while (::poll(polled.data(), polled.size(), -1) < 0 && errno == EINTR) {
  }
  console.leave();
}

// The user's half of an attachment. Ends when told to by `end`, or by the user.
class Keyboard {
 public:
  // `resizes` is the signalfd of SIGWINCH.
  Keyboard(ConsoleAttachment& console, vmm::EventFd& end, int resizes, bool read_only)
      : console_(console), end_(end), resizes_(resizes), read_only_(read_only) {}

  void run() {
    std::array<pollfd, 3> polled = {
        pollfd{.fd = end_.fd(), .events = POLLIN, .revents = 0},
        pollfd{.fd = resizes_, .events = POLLIN, .revents = 0},
        pollfd{.fd = read_only_ ? -1 : STDIN_FILENO, .events = POLLIN, .revents = 0}};
    for (;;) {
      if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) {
        break;
      }
      if (polled[0].revents != 0 || (polled[1].revents != 0 && !pass_size())) {
        break;
      }
      if (polled[2].revents != 0 && !pass_input(polled[2].fd)) {
        return;
      }
    }
    console_.leave();
  }

 private:
  bool pass_size() {
    signalfd_siginfo taken{};
    (void)!::read(resizes_, &taken, sizeof taken);
    if (read_only_) {
      return true;
    }
    const TerminalSize size = terminal_size(STDIN_FILENO);
    return console_.resize(size.columns, size.rows);
  }

  // False: the attachment has ended, or is to end.
  bool pass_input(int& input) {
    std::array<char, kChunk> chunk;
    const ssize_t count = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (count <= 0) {
      input = -1;  // What the device prints is still shown.
      return true;
    }
    std::string_view typed(chunk.data(), static_cast<std::size_t>(count));
    const bool is_terminal = ::isatty(STDIN_FILENO) == 1;
    while (!typed.empty()) {
      if (!is_terminal) {
        return console_.type(std::string(typed));
      }
      const EscapeKeys::Outcome outcome = keys_.scan(typed);
      typed.remove_prefix(outcome.consumed);
      if (!outcome.to_guest.empty() && !console_.type(outcome.to_guest)) {
        return false;
      }
      if (outcome.command == EscapeKeys::Command::kStop) {
        console_.leave();
        return false;
      }
      if (outcome.command == EscapeKeys::Command::kHelp) {
        write_all(STDOUT_FILENO, kHelp);
      }
    }
    return true;
  }

  ConsoleAttachment& console_;
  vmm::EventFd& end_;
  const int resizes_;
  const bool read_only_;
  EscapeKeys keys_;
};

}  // namespace

Result<void> attach_to_console(Client& client, const std::string& name,
                               const AttachOptions& options) {
  // Before gRPC makes threads, so that none of them takes the signals.
  const vmm::FileDescriptor signals = take_signals({SIGINT, SIGTERM, SIGHUP});
  const vmm::FileDescriptor resizes = take_signals({SIGWINCH});
  auto end = vmm::EventFd::create();
  if (!end) {
    return std::unexpected(end.error());
  }
  const auto device = client.get(name);
  if (!device) {
    return std::unexpected(device.error());
  }
  v1::AttachRequest::Begin begin;
  begin.set_name(device->name());
  begin.set_read_only(options.read_only);
  begin.set_scrollback_bytes(options.scrollback_bytes);
  const bool is_terminal = ::isatty(STDIN_FILENO) == 1;
  if (is_terminal) {
    const TerminalSize size = terminal_size(STDIN_FILENO);
    begin.mutable_size()->set_columns(size.columns);
    begin.mutable_size()->set_rows(size.rows);
  }
  auto console = client.attach(begin);
  if (!console) {
    return std::unexpected(console.error());
  }
  RawTerminal terminal(STDIN_FILENO);
  if (is_terminal && !options.read_only) {
    fmt::print(stderr, "Ctrl-A x leaves the console of {}; Ctrl-A h shows the keys\n",
               short_name(*device));
    if (auto entered = terminal.enter(); !entered) {
      return entered;
    }
  }
  Keyboard keyboard(**console, *end, resizes.get(), options.read_only);
  std::thread typing([&keyboard] { keyboard.run(); });
  std::thread leaving([&] { leave_when_told(**console, *end, signals.get()); });
  Result<void> ended;
  for (;;) {
    auto output = (*console)->read();
    if (!output || output->empty() || !write_all(STDOUT_FILENO, *output)) {
      ended = output ? Result<void>() : std::unexpected(output.error());
      break;
    }
  }
  end->signal();
  typing.join();
  leaving.join();
  return ended;
}

}  // namespace ensemble::control
