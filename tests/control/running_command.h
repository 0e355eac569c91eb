#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "vmm/file_descriptor.h"

namespace ensemble::control {

// A real `ensemble` process under test, with its standard streams in the test's hands.
class RunningCommand {
 public:
  enum class Input {
    kNone,      // /dev/null
    kPipe,      // Fed by `type`, ended by `end_input`.
    kTerminal,  // A pseudo-terminal, which is standard output as well.
  };

  struct Options {
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;
    Input input = Input::kNone;
    std::string output_file;  // Where standard output goes; empty: to the test.
    // Runs without root's power to open everything, where the test has it.
    bool unprivileged = false;
  };

  struct Result {
    int exit_code = -1;  // 128 + N after signal N, as shells say it.
    std::string output;
    std::string errors;
    bool timed_out = false;
  };

  explicit RunningCommand(const Options& options);
  RunningCommand(const RunningCommand&) = delete;
  RunningCommand& operator=(const RunningCommand&) = delete;
  ~RunningCommand();

  pid_t process() const { return process_; }

  // The pseudo-terminal's side that the test holds, or the pipe to standard input.
  int terminal() const { return input_.get(); }

  void type(const std::string& keys);
  void end_input();
  void close_output();

  // Reads output until it holds `text`; false after `timeout`.
  bool wait_for_output(const std::string& text,
                       std::chrono::milliseconds timeout = std::chrono::seconds(20));

  void send_signal(int signal_number) const;

  // Reads to the end of the output and waits for the process. One that outlives `timeout` is
  // killed.
  Result finish(std::chrono::milliseconds timeout = std::chrono::seconds(30));

  const std::string& output() const { return output_text_; }

 private:
  bool read_some(std::chrono::steady_clock::time_point deadline);

  pid_t process_ = -1;
  vmm::FileDescriptor input_;
  vmm::FileDescriptor output_;
  vmm::FileDescriptor errors_;
  std::string output_text_;
  std::string errors_text_;
};

// Runs `ensemble` with `arguments` and no input to its end.
RunningCommand::Result run_ensemble(const std::vector<std::string>& arguments,
                                    const std::map<std::string, std::string>& environment = {},
                                    bool unprivileged = false);

// The children of `parent`.
std::vector<pid_t> vmm_processes_of(pid_t parent);

}  // namespace ensemble::control
