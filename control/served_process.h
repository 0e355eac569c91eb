#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Where a served ensemble-vmm keeps things in its folder.
inline constexpr char kControlSocketName[] = "control.sock";
inline constexpr char kAgentSocketName[] = "agent.sock";
inline constexpr char kConsoleLogName[] = "console.log";
inline constexpr char kProcessLogName[] = "process.log";
inline constexpr char kStoppedName[] = "stopped.pb";

// A process, as the one that started it knows it.
struct StartedProcess {
  pid_t id = -1;
  // A pidfd, readable once the process has ended.
  vmm::FileDescriptor handle;
  // CLOCK_MONOTONIC in nanoseconds just before the start.
  std::uint64_t started_at_ns = 0;
};

struct ServedProcessOptions {
  // ensemble-vmm, or another that speaks as it does.
  std::string executable;
  // An existing directory for this process alone. What an earlier one left there under the names
  // above is replaced, but for the logs, which go on.
  std::string folder;
  std::string log_level;
};

// Starts an ensemble-vmm that outlives its controllers, in a session of its own. Its socket listens
// when this returns. The caller waits for its end (waitpid) while it lives.
Result<StartedProcess> start_served_process(const ServedProcessOptions& options);

// The process that serves `folder`, whoever has started it: `id` if that is it, else the one that
// the host's list of processes has. An empty `handle`: there is none, or it cannot be told.
StartedProcess find_served_process(const std::string& folder, pid_t id);

// Connects to the control socket in `folder`. The socket blocks for nobody: its reads and writes
// are to be made with MSG_DONTWAIT. ECONNREFUSED and ENOENT mean that the process is gone.
Result<vmm::FileDescriptor> connect_to_process(const std::string& folder);

// Connects to the port of the agent in the device, in the same way. A device without one has no
// such socket. Bytes wait until the agent takes them.
Result<vmm::FileDescriptor> connect_to_agent(const std::string& folder);

}  // namespace ensemble::control
