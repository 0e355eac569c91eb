#include "guest-kernel/composer/driver_table.h"

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/lib/chip_protocol.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/input_protocol.h"
#include "guest-kernel/lib/port_protocol.h"

namespace composer {
namespace {

constexpr DriverKind kDrivers[] = {
    {"virtio,device3", "", "drivers/virtio-console", "console", guest::Role::kConsole, 4 * 4096,
     guest::kConsoleSharedSize, 0, guest::kConsoleSignal},
    {"virtio,device3", "agent", "drivers/virtio-port", "agent", guest::Role::kPort, 2 * 4096, 0,
     guest::kPortSharedSize, guest::kPortSignal},
    {"virtio,device2", "", "drivers/virtio-block", "block", guest::Role::kBlock, 4 * 4096,
     guest::kBlockSharedSize},
    {"virtio,device4", "", "drivers/virtio-entropy", "entropy", guest::Role::kEntropy, 2 * 4096, 0},
    {"virtio,device12", "", "drivers/virtio-input", "input", guest::Role::kInput, 4096,
     guest::kInputSharedSize, 0, guest::kInputSignal},
    {"ns16550a", "", "drivers/serial-16550", "serial", guest::Role::kConsole, 0,
     guest::kConsoleSharedSize, 0, guest::kConsoleSignal},
    {"motorola,mc146818", "", "drivers/cmos-clock", "clock", guest::Role::kClock, 0,
     guest::kChipSharedSize, 0, guest::kChipSignal, true},
    // Its clients are the drivers of chips.
    {"snps,designware-i2c", "", "drivers/designware-i2c", "i2c", guest::Role::kNone, 0, 0, 0, 0,
     true},
};

// One program drives them all, each in an instance of its own.
constexpr DriverKind kChip = {"",
                              "",
                              "drivers/chip",
                              "chip",
                              guest::Role::kChip,
                              0,
                              guest::kChipSharedSize,
                              0,
                              guest::kChipSignal,
                              true};

// Virtio 1.2, section 5: device IDs that a machine of ours or of QEMU's may have.
constexpr std::string_view kVirtioDevices[] = {
    "",
    "virtio,device1",
    "virtio,device2",
    "virtio,device3",
    "virtio,device4",
    "virtio,device5",
    "virtio,device6",
    "virtio,device7",
    "virtio,device8",
    "virtio,device9",
};

}  // namespace

const DriverKind* driver_for(std::string_view compatible, std::string_view role) {
  for (const DriverKind& kind : kDrivers) {
    if (kind.compatible == compatible && kind.device_role == role) {
      return &kind;
    }
  }
  return chips::find_chip(compatible) ? &kChip : nullptr;
}

std::string_view virtio_compatible(std::uint32_t device_id) {
  constexpr std::uint32_t kInputDevice = 0x12;
  if (device_id == 0) {
    return {};  // a placeholder: no device
  }
  if (device_id == kInputDevice) {
    return "virtio,device12";
  }
  return device_id < std::size(kVirtioDevices) ? kVirtioDevices[device_id] : "virtio,mmio";
}

}  // namespace composer
