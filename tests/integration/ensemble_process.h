#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmm/file_descriptor.h"

namespace ensemble::integration {

using Arguments = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

// How a process ended. `exit_code` is 128 + N after signal N, as shells say it.
struct Outcome {
  int exit_code = -1;
  bool timed_out = false;
  std::string output;
  std::string errors;
};

// A running program with pipes for its standard streams. The destructor kills what still runs.
class ChildProcess {
 public:
  // `program` is a path. `environment` is added to this process's.
  ChildProcess(const std::string& program, const Arguments& arguments,
               const Environment& environment = {});
  ChildProcess(const ChildProcess&) = delete;
  ~ChildProcess();

  pid_t pid() const { return pid_; }

  void write(const std::string& text);
  void close_input() { input_ = vmm::FileDescriptor(); }
  void signal(int number) const;

  // Reads both streams until the output holds `text`. False when the time is over or the streams
  // have ended first.
  bool read_until(const std::string& text, std::chrono::milliseconds limit);

  // Reads to the end. A process that runs longer than `limit` is killed and has timed out.
  Outcome wait(std::chrono::milliseconds limit);

 private:
  // Reads until `done` or both streams end; false: the time is over.
  bool read_while(const std::function<bool()>& done, std::chrono::milliseconds limit);

  pid_t pid_ = -1;
  vmm::FileDescriptor input_;
  vmm::FileDescriptor output_;
  vmm::FileDescriptor errors_;
  Outcome outcome_;
};

// The directory of this test program, where `ensemble` lies too.
std::string program_directory();

// The limit of a test that says nothing else: far above what a right program takes on this lane.
std::chrono::milliseconds default_limit();

// Runs `ensemble ARGUMENTS…` to its end, with nothing on standard input.
Outcome run_ensemble(const Arguments& arguments, const Environment& environment = {},
                     std::optional<std::chrono::milliseconds> limit = {});

}  // namespace ensemble::integration
