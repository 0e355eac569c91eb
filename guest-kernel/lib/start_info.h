#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest-kernel/lib/system_call.h"

// The page that a program which the composer starts gets the address of in rdi: what it was given.
namespace guest {

// What a resource is for. Those marked "deferred" are described from the start, but the Linux
// server gets them (capability and mapping) only when it asks by ControlRequest::kCompleteStart.
enum class Role : std::uint32_t {
  kNone = 0,
  kOwnPort,       // port: the program receives here (all rights)
  kClient,        // port, right to signal: a driver tells its client that there is something new
  kSupervisor,    // port, right to signal: the composer; a driver tells it of a change of state
  kRegisters,     // mapped: the device's registers (device memory)
  kInterrupt,     // interrupt object; only for a level-triggered line, which must be acknowledged
  kIoPorts,       // I/O ports of the 16550
  kDmaMemory,     // mapped, physically contiguous: the driver's own
  kSharedMemory,  // mapped, physically contiguous: a driver's and its client's (device_protocol.h)
  kConsole,       // the Linux server's: the console driver's port + the shared rings, mapped;
                  // `value` 1: input is data (a file or a pipe), not keys
  kBlock,         // deferred; the same for a disk; one resource per disk, in the manifest's order
  kPort,          // deferred; the same for a port to the host (port_protocol.h)
  kEntropy,       // deferred; port of the entropy driver
  kInput,         // deferred; the same and memory for an input device (input_protocol.h); one each
  kControl,       // port of the composer: ControlRequest (device_protocol.h)
  kInformation,   // deferred; port of the composer: InformationRequest; to hand to native programs
  kDeviceTable,   // deferred; region, read-only: DeviceTable; to hand to native programs
  kManifest,    // deferred; region, read-only: flattened device tree; none on a machine without one
  kMachine,     // deferred; for kInformation calls
  kMemory,      // region, zeroed, not mapped: the program's to use
  kHighMemory,  // the same, above 4 GiB
  kRoot,        // region, read-only, not mapped: newc archive, the root file system
  kBootArchive,  // mapped, read-only, no capability: the native tools, as a newc archive
  kBus,    // port of the driver of an I²C bus (i2c_protocol.h); `value`: the chip's address on it
  kChip,   // which chip (`value`: see chip_value()); the Linux server gets its driver's port and
           // their shared memory (chip_protocol.h) when it asks by ControlRequest::kStartDriver
  kClock,  // port, right to signal, and memory (chip_protocol.h, clock_protocol.h) of the driver of
           // the real-time clock: as a chip's, when the server asks for it
  kArguments,  // mapped: NUL-terminated strings: `value` of them the command, then its environment
};

struct Resource {
  Role role;
  std::uint32_t value;     // meaning depends on the role
  Slot slot;               // kNoSlot: no capability comes with it
  std::uint64_t address;   // where it is mapped; 0: it is not
  std::uint64_t size;      // bytes. A region's capability covers this rounded up to pages
  std::uint64_t physical;  // physical address of its first byte (DMA); 0 where that is no concern
};

// Of Role::kChip: which kind of chip (an index in chips::catalogue()), its address, and which bus
// of the machine it is on.
constexpr std::uint32_t chip_value(std::size_t kind, std::uint64_t address, std::size_t bus) {
  return static_cast<std::uint32_t>(kind | address << 8 | bus << 16);
}
constexpr std::size_t chip_kind(std::uint32_t value) {
  return value & 0xff;
}
constexpr std::uint32_t chip_address(std::uint32_t value) {
  return value >> 8 & 0xff;
}
constexpr std::uint32_t chip_bus(std::uint32_t value) {
  return value >> 16;
}

// Life of a driver. The driver writes it, /bin/devices shows it.
enum class DriverState : std::uint32_t { kStarting = 0, kRunning = 1, kFailed = 2 };

struct DriverProperty {
  std::array<char, 24> name;  // NUL-terminated
  std::uint64_t value;
};

// Written by the driver, read (as untrusted bytes) by the composer.
struct DriverStatus {
  DriverState state;
  std::uint32_t property_count;
  std::array<DriverProperty, 8> properties;
  std::array<char, 96> message;  // why it failed, a NUL-terminated sentence
};

// The composer maps all that it gives a program below kProgramSpaceEnd; addresses above are the
// program's to use.
inline constexpr std::uint64_t kProgramSpaceEnd = 0x1'0000'0000;

struct StartInfo {
  static constexpr std::size_t kMaximumResources = 32;

  std::uint64_t version;  // 1
  Slot first_free_slot;   // the program's to use: [first_free_slot, end_slot)
  Slot end_slot;
  std::uint32_t processor_count;  // of the machine; they may still be starting
  std::uint32_t resource_count;
  std::uint64_t total_memory;         // bytes of RAM of the machine
  std::array<char, 32> product_name;  // the profile's, NUL-terminated; empty: no manifest says it
  std::array<Resource, kMaximumResources> resources;
  DriverStatus status;

  // The `index`-th resource with that role, or nullptr.
  const Resource* find(Role role, std::size_t index = 0) const {
    for (std::size_t i = 0; i < resource_count && i < kMaximumResources; ++i) {
      if (resources[i].role == role && index-- == 0) {
        return &resources[i];
      }
    }
    return nullptr;
  }
  // Its slot, or kNoSlot.
  Slot slot_of(Role role, std::size_t index = 0) const {
    const Resource* resource = find(role, index);
    return resource == nullptr ? kNoSlot : resource->slot;
  }
};
static_assert(sizeof(StartInfo) <= 4096);

// Priorities of the system's threads. A driver that has work runs before the server, so that the
// device works while the server goes on.
inline constexpr std::uint64_t kDriverPriority = 24;
inline constexpr std::uint64_t kServerPriority = 20;
inline constexpr std::uint64_t kComposerPriority = 16;
inline constexpr std::uint64_t kApplicationPriority = 8;

// Bits that arrive at the Linux server's port (Role::kOwnPort) from outside. The server may use the
// others for its own timers.
inline constexpr std::uint64_t kConsoleSignal = 1;  // input came, or there is room for output again
inline constexpr std::uint64_t kPortSignal = 8;     // the same of the port to the host
inline constexpr std::uint64_t kChipSignal = 32;  // the driver of a chip, or of the clock, has news
inline constexpr std::uint64_t kInputSignal = 64;  // an input device has events

}  // namespace guest
