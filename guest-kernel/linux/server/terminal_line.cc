#include "guest-kernel/linux/server/terminal_line.h"

#include <utility>

#include "guest-kernel/linux/server/ipc/process_groups.h"

namespace linux_server {
namespace {

constinit TerminalLine* first_line = nullptr;

}  // namespace

TerminalLine::TerminalLine() : next_(first_line) {
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  first_line = this;
}

TerminalLine::~TerminalLine() {
  (previous_ != nullptr ? previous_->next_ : first_line) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
}

TerminalLine* TerminalLine::of_session(std::uint32_t session) {
  TerminalLine* line = first_line;
  while (line != nullptr && line->session_ != session) {
    line = line->next_;
  }
  return line;
}

void TerminalLine::set_window(const WindowSize& window) {
  if (window_ == window) {
    return;
  }
  window_ = window;
  if (foreground_ != 0) {
    send_signal_to_group(foreground_, kSignalWindowChange);
  }
}

void TerminalLine::offer_to(const Process& process) {
  const std::uint32_t session = session_of(process);
  if (session_ == 0 && session == process.id() && of_session(session) == nullptr) {
    take_session(session, group_of(process));
  }
}

void TerminalLine::take_session(std::uint32_t session, std::uint32_t foreground) {
  session_ = session;
  foreground_ = foreground;
}

void TerminalLine::leave_session() {
  session_ = 0;
  if (const std::uint32_t group = std::exchange(foreground_, 0); group != 0) {
    send_signal_to_group(group, kSignalHangUp);
    send_signal_to_group(group, kSignalContinue);
  }
}

std::int64_t TerminalLine::check_foreground(Task& task, Signal signal) const {
  const Process& process = *task.process;
  const std::uint32_t group = group_of(process);
  if (session_ == 0 || session_ != session_of(process) || group == foreground_) {
    return 0;
  }
  if (is_signal_ignored_or_blocked(task, signal)) {
    return signal == kSignalTerminalInput ? -EIO : 0;
  }
  if (is_orphaned_group(group)) {
    return -EIO;
  }
  send_signal_to_group(group, signal);
  return shim::kRestart;
}

bool TerminalLine::send_signal(TerminalSignal signal) {
  if (foreground_ == 0) {
    return false;
  }
  switch (signal) {
    case TerminalSignal::kNone:
      break;
    case TerminalSignal::kInterrupt:
      send_signal_to_group(foreground_, kSignalInterrupt);
      break;
    case TerminalSignal::kQuit:
      send_signal_to_group(foreground_, kSignalQuit);
      break;
    case TerminalSignal::kSuspend:
      send_signal_to_group(foreground_, kSignalTerminalStop);
      break;
  }
  return true;
}

void end_terminal_session(std::uint32_t session) {
  if (TerminalLine* line = TerminalLine::of_session(session); line != nullptr) {
    line->leave_session();
  }
}

}  // namespace linux_server
