#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/lib/fixed_vector.h"

namespace composer {

// A device that the manifest or the command line announces. Texts point into it.
struct Device {
  std::string_view path;
  std::string_view compatible;  // of the most specific node; empty: the device has to be asked
  std::string_view role;        // "ensemble,role" of that node
  std::uint64_t address = 0;    // of its registers, its first I/O port, or on its bus
  std::uint64_t size = 0;
  bool io_space = false;
  bool has_interrupt = false;
  std::uint32_t gsi = 0;
  // Of a chip: its controller's index among the devices, which is lower than its own.
  std::optional<std::size_t> bus;
  abi::InterruptTrigger trigger = abi::InterruptTrigger::kEdgeRising;
};

// Services that the profile puts into one protection domain.
struct DomainGroup {
  std::string_view name;
  std::string_view services;  // NUL-separated
};

inline constexpr std::size_t kMaximumDevices = 28;
inline constexpr std::size_t kMaximumProcessors = 8;

// What there is, whichever way it was announced.
struct Machine {
  guest::FixedVector<Device, kMaximumDevices> devices;
  guest::FixedVector<std::uint32_t, kMaximumProcessors> apic_ids;
  guest::FixedVector<DomainGroup, 16> groups;
  bool packed = false;         // all drivers in one domain
  bool prefer_serial = false;  // the console is the 16550 even if there is a virtio console
  bool print_milestones = false;
  bool console_is_data = false;       // its input is a file or a pipe, not a keyboard
  std::uint64_t tsc_frequency = 0;    // Hz; 0: not said
  std::uint64_t start_time = 0;       // ns since 1970; 0: not said
  std::uint64_t machine_control = 0;  // physical address; 0: none
  std::uint16_t power_port = 0;       // I/O port that ends the machine; 0: none
  std::string_view product_name;      // of "ensemble,NAME"; empty: not said
  std::string_view arguments;         // the command: NUL-terminated strings
  std::uint32_t argument_count = 0;   // 0: the default command
  std::string_view environment;       // for the command, beside the usual: NUL-terminated strings
};

}  // namespace composer
