#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/installation.h"
#include "control/raw_terminal.h"
#include "device-model/machine_description.h"
#include "device-model/profile.h"
#include "vmm/error.h"

namespace ensemble::control {

// What a device is to be beyond its profile; what is absent comes from the profile or the
// installation.
struct DeviceOptions {
  std::string name;
  std::optional<std::uint32_t> cpus;
  // In bytes.
  std::optional<std::uint64_t> memory;
  // Paths of files.
  std::optional<std::string> kernel;
  std::optional<std::string> rootfs;
  std::optional<std::string> disk;
  // The command line of a kernel that is not Ensemble's. With it, or where `kernel` is Linux's own
  // image, the machine is described by ACPI, and `rootfs` is the initial RAM disk.
  std::optional<std::string> append = {};
  // For a kernel that is not Ensemble's; absent: the profile's, where that kernel is Linux.
  std::optional<device::NetworkChoice> network = {};
  // Where the host finds the sockets of a guest whose kernel is Linux: an absolute path.
  std::optional<std::string> vsock = {};
  // How much memory, in bytes, a kernel that has a balloon is to do without.
  std::uint64_t balloon = 0;
  // A recording of what the sensors measure; absent: a world at rest.
  std::optional<std::string> world = {};
  // The first program and its arguments; empty: a shell.
  std::vector<std::string> command;
  // For the first program, each NAME=VALUE.
  std::vector<std::string> environment;
  // The terminal that is the console; absent: its input is data.
  std::optional<TerminalSize> terminal;
  // Whether there is a port for an agent in the device; for served processes.
  bool agent = false;
  // Whether Stopped carries the memory figures, which cost time to collect.
  bool measure_memory = false;
  // Other than machine control: the machine is QEMU's microvm, which announces its virtio devices
  // itself (docs/machine.md).
  device::PowerControl power = device::PowerControl::kMachineControl;
};

// Whether a device can have this many processors, or this much memory (bytes). The Error reads on
// from what was given: "is out of range; a device has 1 to 16 CPUs".
Result<void> check_cpus(std::int64_t cpus);
Result<void> check_memory(std::uint64_t memory);

// The configuration of a device: the profile's, with what the options replace. All files are
// checked for being readable; an Error names the file and what was expected.
Result<ensemble::vmm::v1::Configuration> make_configuration(const DeviceOptions& options,
                                                            const device::Profile& profile,
                                                            const InstallationFiles& files);

}  // namespace ensemble::control
