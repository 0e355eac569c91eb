#include "guest-kernel/composer/power.h"

#include <array>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/composer/serial_log.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/lib/system_call.h"

namespace composer {
namespace {

// Machine control: register indices and commands (docs/machine.md).
constexpr std::size_t kFirstMilestone = 2;
constexpr std::size_t kMissedCallNumber = 10;
constexpr std::size_t kMissedCallCount = 11;
constexpr std::uint32_t kPowerOff = 0x5555;
constexpr std::uint32_t kPowerOffWithCode = 0x3333;
constexpr std::uint32_t kReset = 0x7777;
// The power port: what is written before the exit code, and for a reset.
constexpr std::uint32_t kPortPowerOff = 0x55;
constexpr std::uint32_t kPortReset = 0x77;
// QEMU without one: isa-debug-exit, and the keyboard controller's reset line.
constexpr std::uint16_t kDebugExitPort = 0xf4;
constexpr std::uint16_t kKeyboardPort = 0x64;
constexpr std::uint32_t kPulseReset = 0xfe;

// Nothing that ends this machine is left to try.
[[noreturn]] void stop_for_ever() {
  guest::create_port(kStopPortSlot);
  for (;;) {
    guest::Receiver(kStopPortSlot).wait();
  }
}

void print_milestones(const Milestones& milestones) {
  std::array<char, 160> buffer;
  guest::TextWriter line(buffer);
  line.text("ensemble: milestones kernel_entry=").decimal(milestones.kernel_entry);
  line.text(" first_user=").decimal(milestones.first_user);
  line.text(" command_started=").decimal(milestones.command_started);
  line.text(" command_ended=").decimal(milestones.command_ended);
  log_line(line.view());
}

}  // namespace

volatile std::uint32_t* Power::registers() const {
  if (registers_ != nullptr) {
    return registers_;
  }
  const std::uint64_t offset = machine_->machine_control - kDeviceMemoryBase;
  if (machine_->machine_control < kDeviceMemoryBase || offset % abi::kPageSize != 0 ||
      guest::map(abi::kSelfSlot, kMachineControlAddress, abi::kComposerDeviceMemory, offset,
                 abi::kPageSize, abi::kRightRead | abi::kRightWrite) != guest::Status::kOk) {
    return nullptr;
  }
  registers_ = reinterpret_cast<volatile std::uint32_t*>(kMachineControlAddress);
  return registers_;
}

void Power::off(std::uint64_t exit_code, const Milestones& milestones) const {
  if (machine_->print_milestones) {
    print_milestones(milestones);
  }
  if (volatile std::uint32_t* control = registers()) {
    std::size_t index = kFirstMilestone;
    for (const std::uint64_t tsc : {milestones.kernel_entry, milestones.first_user,
                                    milestones.command_started, milestones.command_ended}) {
      control[index++] = static_cast<std::uint32_t>(tsc);
      control[index++] = static_cast<std::uint32_t>(tsc >> 32);
    }
    const auto code = static_cast<std::uint32_t>(exit_code & 0xff);
    control[0] = code == 0 ? kPowerOff : code << 16 | kPowerOffWithCode;
  } else if (machine_->power_port != 0) {
    guest::write_port(abi::kComposerPorts, machine_->power_port, 1, kPortPowerOff);
    guest::write_port(abi::kComposerPorts, machine_->power_port, 1,
                      static_cast<std::uint32_t>(exit_code & 0xff));
  } else {
    guest::write_port(abi::kComposerPorts, kDebugExitPort, 4,
                      static_cast<std::uint32_t>(exit_code & 0xff));
    guest::write_port(abi::kComposerPorts, kKeyboardPort, 1, kPulseReset);
  }
  stop_for_ever();
}

void Power::report_missed_call(std::uint32_t number, std::uint32_t count) const {
  if (volatile std::uint32_t* control = registers()) {
    control[kMissedCallNumber] = number;
    control[kMissedCallCount] = count;
  }
}

void Power::reset() const {
  if (volatile std::uint32_t* control = registers()) {
    control[0] = kReset;
  } else if (machine_->power_port != 0) {
    guest::write_port(abi::kComposerPorts, machine_->power_port, 1, kPortReset);
  } else {
    guest::write_port(abi::kComposerPorts, kKeyboardPort, 1, kPulseReset);
    guest::write_port(abi::kComposerPorts, kDebugExitPort, 4, 0);
  }
  stop_for_ever();
}

void Power::fail(std::string_view sentence, std::string_view detail) const {
  std::array<char, 240> buffer;
  guest::TextWriter line(buffer);
  line.text("ensemble: ").text(sentence);
  if (!detail.empty()) {
    line.text(": ").text(detail);
  }
  log_line(line.view());
  off(kFailureCode, {});
}

}  // namespace composer
