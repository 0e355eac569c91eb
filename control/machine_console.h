#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "control/console_port.h"
#include "device-model/virtio/console_backend.h"
#include "vmm/bus.h"
#include "vmm/error.h"
#include "vmm/interrupt_line.h"
#include "vmm/serial_16550.h"
#include "vmm/state.h"

namespace ensemble::control {

// The two ways in which a guest reaches its console, joined at one port. Output of both goes there.
// Input goes to the virtio console once its driver asks for some; until then, to the 16550 if its
// driver has enabled the interrupt for received data. Otherwise it waits, so that none is lost
// while the guest starts. All calls come with the device lock held.
class MachineConsole final : public vmm::Stateful, private vmm::BusDevice {
 public:
  // `port` outlives the console.
  explicit MachineConsole(ConsolePort& port);
  ~MachineConsole() override;

  // Adds the 16550: the registers to put on the port bus. They live as long as the console.
  vmm::BusDevice& add_serial(std::unique_ptr<vmm::InterruptLine> interrupt);
  bool has_serial() const { return serial_ != nullptr; }

  // The 16550; null: there is none.
  vmm::Serial16550* serial() const { return serial_.get(); }

  // Who takes input. What waits at the port is not the machine's, and is not saved.
  std::string state_tag() const override { return "machine-console"; }
  std::uint32_t state_version() const override { return 1; }
  Result<void> save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader, std::uint32_t version) override;

  // What the virtio console uses; the console outlives it.
  std::unique_ptr<device::ConsoleBackend> make_virtio_backend();

 private:
  class VirtioBackend;
  enum class InputTaker { kNobody, kSerial, kVirtio };

  // The 16550's registers, watched for its driver becoming ready for input.
  std::string_view name() const override { return serial_->name(); }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  void feed_serial();
  void input_ready();
  void output_ready();

  ConsolePort& port_;
  std::unique_ptr<vmm::Serial16550> serial_;
  bool divisor_latch_ = false;  // The 16550's DLAB: offset 1 is not its interrupt enable register.
  InputTaker input_taker_ = InputTaker::kNobody;
  std::function<void()> virtio_writable_;
  std::function<void()> virtio_readable_;
};

}  // namespace ensemble::control
