#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
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

// How a guest ends its machine.
enum class PowerControl {
  kMachineControl,
  kPort,
  kUnannounced,  // By what every PC of its kind has.
};

// When an interrupt line or pin means an interrupt.
enum class Trigger { kEdgeRising, kEdgeFalling, kLevelHigh, kLevelLow };

// A controller with registers of its own in memory.
struct ControllerNode {
  std::string hardware_id;    // Of ACPI, by which drivers bind: "AMDI0010".
  std::uint64_t address = 0;  // Guest-physical, below 4 GiB.
  std::uint64_t size = 0;     // Bytes.
  std::uint32_t gsi = 0;
  Trigger trigger = Trigger::kEdgeRising;
};

// What a driver reads of its chip besides where it is: a property of _DSD.
struct ChipProperty {
  std::string name;
  std::variant<std::uint64_t, std::string> value;
};

// A chip on an I2C bus, as its driver finds it.
struct ChipNode {
  std::string hardware_id;           // Of ACPI; empty: the driver binds by `compatible` (PRP0001).
  std::string compatible;            // Of the device tree binding.
  std::string acpi_compatible = {};  // In front of `compatible` in ACPI; may be empty.
  std::uint8_t address = 0;
  std::optional<std::uint16_t> interrupt_pin;  // Of the machine's GPIO controller.
  Trigger trigger = Trigger::kEdgeRising;      // Of that pin.
  std::vector<ChipProperty> properties;
};

// A power button: an interrupt, and a register of a byte that is not 0 while a press has not been
// answered by a write to it.
struct PowerButtonNode {
  std::uint64_t address = 0;
  std::uint32_t gsi = 0;  // Edge-triggered.
};

struct I2cControllerNode {
  ControllerNode controller;
  std::uint32_t clock = 0;  // Of the bus, Hz.
  std::vector<ChipNode> chips;
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
  PowerControl power = PowerControl::kMachineControl;
  std::optional<ControllerNode> gpio;
  std::vector<I2cControllerNode> i2c;
  std::optional<PowerButtonNode> power_button;
  bool has_clock = false;  // A CMOS real-time clock at its usual ports, GSI 8.
};

// The RAM of `memory` that a guest may use: without mapped files, and without the PC's hole below
// 1 MiB.
std::vector<MemoryRange> usable_memory(const vmm::GuestMemory& memory);

}  // namespace ensemble::device
