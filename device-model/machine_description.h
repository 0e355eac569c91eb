#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device-model/profile.h"
#include "vmm/guest_memory.h"

namespace ensemble::device {

// A range of RAM.
struct MemoryRange {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};

// A virtio-mmio device of the machine.
struct VirtioNode {
  std::string name;             // Generic: "console", "block", "entropy".
  std::uint32_t device_id = 0;  // Of the virtio specification, section 5.
  std::uint64_t address = 0;    // Guest-physical, of its registers.
  std::uint32_t gsi = 0;        // Edge-triggered.
  std::string role = {};        // What it is for, where its ID does not say; may be empty.
};

// One machine as its guest shall see it, independent of how it is told: the device tree (and any
// other encoding) is made from this. What every machine has (serial port, machine control, I/O
// APIC) is not listed; see machine_layout.h.
struct MachineDescription {
  Profile product;
  std::vector<std::uint32_t> apic_ids;  // Of the vCPUs, the boot CPU first.
  std::uint64_t tsc_frequency = 0;      // Hz.
  std::vector<MemoryRange> memory;
  std::vector<std::string> arguments;    // The command to run; empty: a shell.
  std::vector<std::string> environment;  // "NAME=VALUE" for the command, beside the usual ones.
  std::uint64_t start_time = 0;          // Nanoseconds since 1970, UTC.
  // False: the console's other end is a file or a pipe, so its input is data and not keys.
  bool console_is_terminal = true;
  std::vector<VirtioNode> virtio;
};

// The RAM of `memory` that a guest may use: without mapped files, and without the PC's hole below
// 1 MiB.
std::vector<MemoryRange> usable_memory(const vmm::GuestMemory& memory);

}  // namespace ensemble::device
