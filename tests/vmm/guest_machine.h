#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "elf_builder.h"
#include "test_support.h"
#include "vmm/event_loop.h"
#include "vmm/machine.h"
#include "vmm/machine_control.h"
#include "vmm/serial_16550.h"

namespace ensemble::vmm {

// The code of guest_programs.S.
#define GUEST(name)                                                         \
  ([] {                                                                     \
    extern const std::byte guest_##name[] asm("guest_" #name);              \
    extern const std::byte guest_##name##_end[] asm("guest_" #name "_end"); \
    return std::span<const std::byte>(guest_##name, guest_##name##_end);    \
  }())

inline constexpr uint64_t kMachineControlAddress = 0xd0000000;
inline constexpr uint64_t kDoorbellAddress = 0xd0001000;
inline constexpr uint64_t kSerialPort = 0x3f8;
inline constexpr uint64_t kResults = 0x200000;  // Where guests leave their results.

// A machine with a small guest, machine control and a serial port, and an event loop that the test
// runs.
class GuestMachine {
 public:
  explicit GuestMachine(std::span<const std::byte> code, unsigned vcpu_count = 1)
      : loop(take(EventLoop::create())),
        control({.power_off =
                     [this](uint8_t code_) {
                       machine->stop(
                           {.kind = StopReason::Kind::kPowerOff, .exit_code = code_, .detail = ""});
                     },
                 .reset = [this] { machine->stop({.kind = StopReason::Kind::kResetRequested}); }}),
        serial(nullptr,
               [this](std::span<const std::byte> data) {
                 output.append(reinterpret_cast<const char*>(data.data()), data.size());
               }),
        machine(take(Machine::create(
            {.memory_size = 16 << 20, .vcpu_count = vcpu_count, .kvm_path = "/dev/kvm"}, *loop))) {
    take(machine->mmio_bus().insert(kMachineControlAddress, MachineControl::kSize, control));
    take(machine->port_bus().insert(kSerialPort, Serial16550::kSize, serial));
    const std::string kernel = folder.write("kernel", make_kernel(code));
    take(machine->load({.kernel_path = kernel, .command_line = "test"}));
  }

  uint32_t result(unsigned index = 0) const {
    return take(machine->memory().load_atomic<uint32_t>(kResults + index * sizeof(uint32_t)));
  }

  uint64_t exits(ExitReason reason, unsigned vcpu = 0) const {
    return machine->exit_counts(vcpu)[static_cast<size_t>(reason)];
  }

  TemporaryFolder folder;
  std::unique_ptr<EventLoop> loop;
  MachineControl control;
  Serial16550 serial;
  std::string output;
  std::unique_ptr<Machine> machine;  // Destroyed before what its threads use.
};

}  // namespace ensemble::vmm
