#include "control/console_session.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// A pipe that polls writable takes this much without blocking.
constexpr std::size_t kOutputChunk = PIPE_BUF;
constexpr std::size_t kInputChunk = 4096;
constexpr std::uint64_t kResizeId = UINT64_MAX - 1;
constexpr char kEndOfTransmission = '\x04';

// How long a device may take to stop before its process is killed.
constexpr std::chrono::seconds kStopTimeout{3};

sigset_t session_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH}) {
    ::sigaddset(&set, signal_number);
  }
  return set;
}

}  // namespace

void block_session_signals() {
  const sigset_t set = session_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

ConsoleSession::ConsoleSession(VmmChild& child)
    : child_(child), input_is_terminal_(::isatty(STDIN_FILENO) == 1) {}

ConsoleSession::~ConsoleSession() = default;

Result<ConsoleSession::End> ConsoleSession::run() {
  const sigset_t set = session_signals();
  signals_ = vmm::FileDescriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) {
    return std::unexpected(Error::from_errno("cannot watch for signals", errno));
  }
  if (input_is_terminal_) {
    if (auto raw = terminal_.emplace(STDIN_FILENO).enter(); !raw) {
      return std::unexpected(raw.error());
    }
  }

  while (!finished()) {
    const bool want_input = input_open_ && console_open_ && to_device_.empty();
    const bool want_output = console_open_ && to_output_.empty();
    const auto console_events =
        static_cast<short>((want_output ? POLLIN : 0) | (to_device_.empty() ? 0 : POLLOUT));
    std::array<pollfd, kSlotCount> polled{};
    polled[kSignals] = {signals_.get(), POLLIN, 0};
    polled[kControl] = {control_open_ ? child_.control() : -1, POLLIN, 0};
    // A hang-up is reported whether asked for or not: a console that waits for neither is left out.
    polled[kConsole] = {console_open_ && console_events != 0 ? child_.console() : -1,
                        console_events, 0};
    polled[kInput] = {want_input ? STDIN_FILENO : -1, POLLIN, 0};
    polled[kOutput] = {to_output_.empty() ? -1 : STDOUT_FILENO, POLLOUT, 0};
    const int ready = ::poll(polled.data(), polled.size(), wait_milliseconds());
    if (ready < 0 && errno != EINTR) {
      return std::unexpected(Error::from_errno("cannot wait for the console", errno));
    }
    if (ready == 0 && stop_deadline_ && Clock::now() >= *stop_deadline_) {
      child_.kill();
      break;
    }
    if (polled[kSignals].revents != 0) {
      if (auto handled = handle_signals(); !handled) {
        return std::unexpected(handled.error());
      }
    }
    if (polled[kControl].revents != 0) {
      if (auto read = read_control(); !read) {
        return std::unexpected(read.error());
      }
    }
    if (polled[kOutput].revents != 0) {
      write_output();
    }
    if (want_output && polled[kConsole].revents != 0) {
      read_console();
    }
    if (!to_device_.empty() && polled[kConsole].revents != 0) {
      write_console();
    }
    if (polled[kInput].revents != 0) {
      read_input();
    }
  }
  terminal_.reset();
  return end_;
}

// The console socket ends after the last output, when the process closes it or dies. Output that
// nobody takes holds up a device that ended by itself, not one that was told to stop.
bool ConsoleSession::finished() const {
  const bool device_ended = end_.stopped.has_value() || end_.failure || !control_open_;
  return device_ended && !console_open_ && to_output_.empty();
}

int ConsoleSession::wait_milliseconds() const {
  if (!stop_deadline_) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*stop_deadline_ - Clock::now());
  return left.count() > 0 ? static_cast<int>(left.count()) : 0;
}

Result<void> ConsoleSession::handle_signals() {
  signalfd_siginfo received{};
  while (::read(signals_.get(), &received, sizeof received) == sizeof received) {
    const int signal_number = static_cast<int>(received.ssi_signo);
    if (signal_number == SIGTSTP) {
      suspend();
    } else if (signal_number == SIGWINCH) {
      tell_size();
    } else if (signal_number == SIGCONT) {
      if (terminal_) {
        if (auto raw = terminal_->enter(); !raw) {
          return std::unexpected(raw.error());
        }
      }
    } else {
      const bool first = end_.signal_number == 0;
      if (first) {
        end_.signal_number = signal_number;
      }
      request_stop(first && signal_number == SIGTERM ? power_off_patience_
                                                     : std::chrono::milliseconds{});
    }
  }
  return {};
}

void ConsoleSession::tell_size() {
  if (!input_is_terminal_ || !control_open_ || stop_deadline_) {
    return;
  }
  const TerminalSize size = terminal_size(STDIN_FILENO);
  proto::Request request;
  request.set_id(kResizeId);
  request.mutable_resize_console()->mutable_size()->set_columns(size.columns);
  request.mutable_resize_console()->mutable_size()->set_rows(size.rows);
  // A process that is gone needs no size.
  (void)write_message(child_.control(), request);
}

void ConsoleSession::suspend() {
  if (terminal_) {
    terminal_->leave();
  }
  ::raise(SIGSTOP);  // SIGCONT, which is pending afterwards, makes the terminal raw again.
}

Result<void> ConsoleSession::read_control() {
  auto input = control_reader_.fill(child_.control());
  if (!input) {
    return std::unexpected(input.error());
  }
  control_open_ = *input != MessageReader::Input::kEnd;
  for (;;) {
    proto::FromVmm message;
    auto taken = control_reader_.take(message);
    if (!taken) {
      return std::unexpected(taken.error());
    }
    if (!*taken) {
      return {};
    }
    handle_message(message);
  }
}

void ConsoleSession::handle_message(const proto::FromVmm& message) {
  if (message.has_reply() && message.reply().has_failure() && !end_.failure && !stop_deadline_) {
    end_.failure = message.reply().failure().message();
    console_open_ = false;
  } else if (message.has_event() && message.event().has_stopped()) {
    end_.stopped = message.event().stopped();
  }
}

void ConsoleSession::read_console() {
  std::array<char, 16384> chunk;
  const ssize_t count = ::recv(child_.console(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (count > 0) {
    if (output_open_) {
      to_output_.assign(chunk.data(), static_cast<std::size_t>(count));
    }
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    console_open_ = false;
    to_device_.clear();
  }
}

void ConsoleSession::write_console() {
  const ssize_t count =
      ::send(child_.console(), to_device_.data(), to_device_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (count >= 0) {
    to_device_.erase(0, static_cast<std::size_t>(count));
  } else if (errno != EAGAIN && errno != EINTR) {
    // The device is ending; what it still printed is read until its end.
    to_device_.clear();
    input_open_ = false;
  }
}

void ConsoleSession::read_input() {
  std::array<char, kInputChunk> chunk;
  const ssize_t count = ::read(STDIN_FILENO, chunk.data(), chunk.size());
  if (count > 0) {
    const std::string_view bytes(chunk.data(), static_cast<std::size_t>(count));
    if (input_is_terminal_) {
      handle_keys(bytes);
    } else {
      to_device_ = bytes;
      last_input_ = bytes.back();
    }
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    end_of_input();
  }
}

// A console has no end of file: its line discipline makes one from this key, which at the end of
// an unfinished line only sends that line, so that it takes two.
void ConsoleSession::end_of_input() {
  input_open_ = false;
  if (input_is_terminal_) {
    end_.signal_number = SIGHUP;
    request_stop();
    return;
  }
  to_device_.assign(last_input_ == '\n' ? 1 : 2, kEndOfTransmission);
}

void ConsoleSession::handle_keys(std::string_view typed) {
  while (!typed.empty()) {
    const EscapeKeys::Outcome outcome = escape_keys_.scan(typed);
    to_device_ += outcome.to_guest;
    typed.remove_prefix(outcome.consumed);
    if (outcome.command == EscapeKeys::Command::kStop) {
      end_.stopped_by_key = true;
      request_stop();
    } else if (outcome.command == EscapeKeys::Command::kHelp) {
      const std::string_view help = escape_help();
      (void)!::write(STDERR_FILENO, help.data(), help.size());
    }
  }
}

void ConsoleSession::write_output() {
  const std::size_t size = std::min(to_output_.size(), kOutputChunk);
  const ssize_t count = ::write(STDOUT_FILENO, to_output_.data(), size);
  if (count >= 0) {
    to_output_.erase(0, static_cast<std::size_t>(count));
    return;
  }
  if (errno == EAGAIN || errno == EINTR) {
    return;
  }
  const int error_number = errno;
  give_up_output();
  if (error_number == EPIPE) {
    end_.signal_number = SIGPIPE;
  } else if (!end_.failure) {
    end_.failure =
        std::string("cannot write the console to standard output: ") + std::strerror(error_number);
  }
  request_stop();
}

void ConsoleSession::give_up_output() {
  output_open_ = false;
  to_output_.clear();
}

void ConsoleSession::request_stop(std::chrono::milliseconds patience) {
  if (stop_deadline_ && !may_power_off_) {
    return;
  }
  may_power_off_ = !stop_deadline_ && patience.count() > 0;
  stop_deadline_ = Clock::now() + patience + kStopTimeout;
  proto::Request request;
  request.set_id(UINT64_MAX);
  request.mutable_stop()->set_patience_ms(static_cast<std::uint32_t>(patience.count()));
  // A process that is gone needs no stop; its end is seen on the socket.
  (void)write_message(child_.control(), request);
}

}  // namespace ensemble::control
