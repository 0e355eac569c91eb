#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/line_discipline.h"
#include "guest-kernel/linux/server/signal_numbers.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// struct winsize
struct WindowSize {
  std::uint16_t rows = 24;
  std::uint16_t columns = 80;
  std::uint16_t width = 0;
  std::uint16_t height = 0;
  bool operator==(const WindowSize&) const = default;
};

// A terminal as programs see it, whatever is at its other end: tty(4). A session may have it as its
// controlling terminal; then one of its process groups is in the foreground.
class TerminalLine : protected EchoSink {
 public:
  TerminalLine();
  TerminalLine(const TerminalLine&) = delete;
  TerminalLine& operator=(const TerminalLine&) = delete;

  LineDiscipline& discipline() { return discipline_; }
  // The bits of the settings that may not be changed.
  const termios& locked_settings() const { return locked_settings_; }
  void lock_settings(const termios& locked) { locked_settings_ = locked; }
  // Woken when there may be something to read, or room to write.
  WaitQueue& changed() { return changed_; }

  // Writes as much of `bytes` as there is room for, post-processed; returns how much of it.
  virtual std::size_t write(std::span<const std::byte> bytes) = 0;
  virtual bool is_writable() const = 0;
  // Asks to be told of room. False: there is some already.
  virtual bool wait_for_room() { return true; }
  // Input was taken off the line discipline, which may have room again.
  virtual void input_taken() {}
  // Forgets output that nobody has seen yet.
  virtual void drop_output() {}
  // The other end is gone for good.
  virtual bool is_hung_up() const { return false; }

  // ^S: output waits.
  bool is_stopped() const { return discipline_.is_output_stopped(); }

  const WindowSize& window() const { return window_; }
  // Tells the foreground group if that is a change.
  void set_window(const WindowSize& window);

  std::uint32_t session() const { return session_; }
  std::uint32_t foreground() const { return foreground_; }
  void set_foreground(std::uint32_t group) { foreground_ = group; }
  // Becomes the controlling terminal of the process's session, if it is free, the process leads the
  // session and that has none.
  void offer_to(const Process& process);
  void take_session(std::uint32_t session, std::uint32_t foreground);
  // The session has it no longer: its foreground group is told.
  void leave_session();
  // Job control for a call that reads (kSignalTerminalInput) or changes things: 0, or what the call
  // returns; the caller's group may have been stopped.
  std::int64_t check_foreground(Task& task, Signal signal) const;

  // The controlling terminal of a session; null: it has none.
  static TerminalLine* of_session(std::uint32_t session);

 protected:
  ~TerminalLine();
  // What an input byte stands for goes to the foreground group. False: there is none.
  bool send_signal(TerminalSignal signal);

 private:
  WaitQueue changed_;
  LineDiscipline discipline_;
  termios locked_settings_ = {};
  WindowSize window_;
  std::uint32_t session_ = 0;
  std::uint32_t foreground_ = 0;
  TerminalLine* next_ = nullptr;
  TerminalLine* previous_ = nullptr;
};

// Its leader has ended.
void end_terminal_session(std::uint32_t session);

}  // namespace linux_server
