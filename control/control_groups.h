#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/error.h"

namespace ensemble::control {

// Where Linux tells a process of its control groups; tests have files of their own.
struct GroupFiles {
  std::string groups = "/proc/self/cgroup";
  std::string mounts = "/proc/self/mountinfo";
};

// The directory of this process's control group of version 2. The Error says why there is none.
Result<std::string> own_group(const GroupFiles& files = {});

// Those of the controllers memory, cpu and pids that groups in `group` may have. The Error says why
// groups with limits cannot be made there: memory is missing, or it is not this user's.
Result<std::vector<std::string>> usable_controllers(const std::string& group);

// What a device's process may use at most.
struct ProcessLimits {
  std::uint64_t memory_bytes = 0;  // of the host: the device's own and what its process needs
  std::uint32_t processors = 0;    // of processor time, per unit of time
  std::uint32_t threads = 0;
};

// For a device of so much memory and so many processors: with room for its process, so that they
// are met by a process that has gone wrong only.
ProcessLimits limits_for(std::uint64_t memory_bytes, std::uint32_t processors);

// Control groups of a daemon's devices, one for each, beside one for the daemon (Linux's
// Documentation/admin-guide/cgroup-v2.rst; that a group with controllers has no processes is its
// "no internal process constraint").
class DeviceGroups {
 public:
  // None: no device is held to limits.
  DeviceGroups() = default;

  // Makes this process's group the home of devices' groups and moves the process into one of its
  // own there. The Error says why that cannot be; then all is as it was.
  static Result<DeviceGroups> prepare(const GroupFiles& files = {});

  // Takes the limits off the devices of a daemon that has ended: systemd can put no process into
  // the service's group as long as its groups have controllers. Called in the daemon's group or in
  // another one of the service's.
  static Result<void> release(const GroupFiles& files = {});

  // Holds a process to limits. Again for one that is held already: with these from now on. The
  // Error names the file that was not written; does nothing where there are no groups.
  Result<void> hold(const std::string& uid, pid_t process, const ProcessLimits& limits) const;
  // Removes the group of a device whose process has ended.
  void forget(const std::string& uid) const;

  // Empty: none are made.
  const std::string& home() const { return home_; }
  const std::vector<std::string>& controllers() const { return controllers_; }

 private:
  bool has(const std::string& controller) const;
  std::string group_of(const std::string& uid) const;

  std::string home_;
  std::vector<std::string> controllers_;
};

}  // namespace ensemble::control
