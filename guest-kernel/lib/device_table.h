#pragma once

#include <array>
#include <cstdint>

#include "guest-kernel/lib/start_info.h"

// What the composer found and started, for /bin/devices: Role::kDeviceTable. The composer writes
// it, others map it read-only. All strings are NUL-terminated and cut where too long.
namespace guest {

enum class DeviceState : std::uint32_t {
  kNoDriver = 0,  // nothing in the boot package drives it
  kStarting = 1,
  kRunning = 2,
  kFailed = 3,      // its driver gave up: see message
  kStopped = 4,     // its driver died too often
  kInComposer = 5,  // the composer itself uses it
  kIdle = 6,        // its driver starts when something is first asked of it
};

struct DeviceRecord {
  std::array<char, 64> path;        // in the manifest, or as on the command line
  std::array<char, 64> compatible;  // of the most specific node: "virtio,device3"
  std::array<char, 24> driver;
  std::array<char, 24> domain;
  DeviceState state;
  std::uint32_t restarts;
  std::uint64_t address;  // of its registers, or its first I/O port
  std::uint64_t size;
  std::uint32_t interrupt;  // GSI; ~0: none
  std::uint32_t property_count;
  std::array<DriverProperty, 8> properties;
  std::array<char, 96> message;
};

struct DeviceTable {
  static constexpr std::size_t kMaximumDevices = 28;

  std::uint32_t version;  // 1
  std::uint32_t device_count;
  std::uint32_t processor_count;
  std::uint32_t processors_running;
  std::uint64_t total_memory;   // bytes
  std::uint64_t tsc_frequency;  // Hz
  std::uint64_t kernel_entry_tsc;
  std::uint64_t first_user_tsc;
  std::array<DeviceRecord, kMaximumDevices> devices;
};
inline constexpr std::uint64_t kDeviceTableSize = 5 * 4096;
static_assert(sizeof(DeviceTable) <= kDeviceTableSize);

}  // namespace guest
