#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/escape_keys.h"
#include "control/message_stream.h"
#include "control/raw_terminal.h"
#include "control/vmm_child.h"
#include "vmm/error.h"

namespace ensemble::control {

// Blocks the signals that a session wants to read from a signalfd. Call before the session's
// child is started, so that a signal cannot fall between.
void block_session_signals();

// Runs a started device to its end, with this process's standard input and output as its console:
// moves bytes both ways, obeys the escape keys where standard input is a terminal, and stops the
// device on SIGINT, SIGTERM, SIGHUP and SIGQUIT. Memory use is bounded whatever the device prints.
class ConsoleSession {
 public:
  struct End {
    // What the device's process said last; absent when it died without a word.
    std::optional<ensemble::vmm::v1::Stopped> stopped;
    // A request that the process refused, or a failure to use the console: ends the session.
    std::optional<std::string> failure;
    // The signal that stopped the session: one received, or SIGPIPE for a closed standard output.
    int signal_number = 0;
    // Whether `Ctrl-A x` stopped it.
    bool stopped_by_key = false;
  };

  // `child` outlives the session; its configuration and start have been sent.
  explicit ConsoleSession(VmmChild& child);
  ~ConsoleSession();

  // Has the first SIGTERM press the power button of the machine, and wait so long for the guest to
  // power off, before it is stopped. Another signal stops it at once.
  void set_power_off_patience(std::chrono::milliseconds patience) {
    power_off_patience_ = patience;
  }

  // Returns once the device's process has stopped the machine and all its output is written.
  Result<End> run();

 private:
  enum Slot { kSignals, kControl, kConsole, kInput, kOutput, kSlotCount };
  using Clock = std::chrono::steady_clock;

  bool finished() const;
  int wait_milliseconds() const;
  Result<void> handle_signals();
  Result<void> read_control();
  void read_console();
  void write_console();
  void read_input();
  void end_of_input();
  void write_output();
  void suspend();
  void handle_keys(std::string_view typed);
  void handle_message(const ensemble::vmm::v1::FromVmm& message);
  void request_stop(std::chrono::milliseconds patience = {});
  void tell_size();
  void give_up_output();

  VmmChild& child_;
  const bool input_is_terminal_;
  std::optional<RawTerminal> terminal_;
  vmm::FileDescriptor signals_;
  MessageReader control_reader_;
  EscapeKeys escape_keys_;

  std::string to_device_;  // Typed, not yet taken by the console socket; bounded.
  std::string to_output_;  // Printed by the device, not yet written; bounded.
  bool input_open_ = true;
  char last_input_ = '\n';
  bool control_open_ = true;
  bool console_open_ = true;
  bool output_open_ = true;
  std::chrono::milliseconds power_off_patience_{0};
  bool may_power_off_ = false;  // It has been asked to, and not been stopped yet.
  std::optional<Clock::time_point> stop_deadline_;
  End end_;
};

}  // namespace ensemble::control
