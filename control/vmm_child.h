#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Descriptors that ensemble-vmm finds open when it starts.
inline constexpr int kControlDescriptor = 3;
inline constexpr int kConsoleDescriptor = 4;

// A running ensemble-vmm process and this side of its sockets. The process ends when its control
// socket is closed or its parent dies; the destructor kills it and waits for it.
class VmmChild {
 public:
  struct Options {
    std::string executable;
    std::string log_level;
  };

  // Starts the process in a process group of its own, so that keys of the terminal reach the
  // parent only. The Error names the executable.
  static Result<VmmChild> spawn(const Options& options);

  VmmChild(VmmChild&& other) noexcept;
  VmmChild& operator=(VmmChild&&) = delete;
  ~VmmChild();

  // Both non-blocking for reads by MSG_DONTWAIT; the console carries raw bytes.
  int control() const { return control_.get(); }
  int console() const { return console_.get(); }

  // CLOCK_MONOTONIC in nanoseconds just before the process was started.
  std::uint64_t started_at_ns() const { return started_at_ns_; }

  // Waits for the process to end. Absent when it ended as it should (exit code 0), else why:
  // "ensemble-vmm was killed by signal 9 (Killed)". Closes the sockets first.
  std::optional<std::string> wait();

  // Ends the process at once.
  void kill() const;

 private:
  VmmChild() = default;

  std::string name_;  // Of the executable, without its directory.
  pid_t process_ = -1;
  vmm::FileDescriptor control_;
  vmm::FileDescriptor console_;
  std::uint64_t started_at_ns_ = 0;
};

}  // namespace ensemble::control
