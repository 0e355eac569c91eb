#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/console_port.h"
#include "control/device_machine.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/machine_console.h"
#include "control/memory_figures.h"
#include "device-model/chip_board.h"
#include "device-model/clock/host_clock.h"
#include "device-model/virtio/balloon_device.h"
#include "device-model/virtio/console_device.h"
#include "device-model/virtio/input_controls.h"
#include "device-model/virtio/port_backend.h"
#include "device-model/virtio/virtio_bus.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/machine.h"
#include "vmm/machine_control.h"

namespace ensemble::control {

// A machine with its devices, built from a configuration and loaded: ready to start. Owns both.
// Used and destroyed on the event loop, or while it does not run.
class AssembledMachine final : public DeviceMachine {
 public:
  // `loop`, `console` and `agent` outlive the machine; `agent` may be null where the configuration
  // has no port. The Error says which part of the configuration
  // cannot be had, and why.
  static Result<std::unique_ptr<AssembledMachine>> create(
      const ensemble::vmm::v1::Configuration& configuration, vmm::EventLoop& loop,
      ConsolePort& console, device::PortBackend* agent);
  ~AssembledMachine() override;

  vmm::MachineState state() const override { return machine_->state(); }
  Result<void> start() override;
  Result<void> pause() override { return machine_->pause(); }
  Result<void> resume() override { return machine_->resume(); }
  void stop(const vmm::StopReason& reason) override { machine_->stop(reason); }
  void set_stop_handler(StopHandler handler) override {
    machine_->set_stop_handler(std::move(handler));
  }
  void resize_console(const ensemble::vmm::v1::ConsoleSize& size) override;
  Result<void> send_input(const ensemble::vmm::v1::SendInput& input) override;

  // The machine beneath. Its buses reach the devices' registers, with the device lock held.
  vmm::Machine& machine() { return *machine_; }

  // The state of all devices, in one container with a versioned section for each (vmm/state.h).
  // Not the vCPUs, the interrupt controller, the clock (vmm::Machine has those) nor memory; not
  // what lies beyond the devices: disks' contents, connections, input at the console. While the
  // machine is paused.
  Result<std::vector<std::byte>> save_devices() const;

  // Gives the devices what save_devices() wrote of a machine with the same configuration. While the
  // machine is paused, and memory has its contents again. The Error names the section; the machine
  // must be discarded then.
  Result<void> restore_devices(std::span<const std::byte> state);
  Result<void> set_balloon(std::uint64_t bytes) override;
  Result<void> press_power_button() override;

  // Without the milestones while it runs.
  ensemble::vmm::v1::Measurements measure(
      const ensemble::vmm::v1::Configuration& configuration) const override;

 private:
  AssembledMachine(std::unique_ptr<vmm::Machine> machine, ConsolePort& console,
                   device::PortBackend* agent);

  std::vector<vmm::Stateful*> stateful_devices() const;
  Result<void> require_pause(std::string_view what) const;
  Result<void> add_board(const ensemble::vmm::v1::Configuration& configuration);

  Result<void> add_device(const ensemble::vmm::v1::Device& device);
  Result<void> add_clock(const ensemble::vmm::v1::Device& device);
  Result<void> add_balloon(const ensemble::vmm::v1::Device& device);
  Result<void> add_console(const ensemble::vmm::v1::Device& device);
  Result<void> add_input(const ensemble::vmm::v1::Device& device);
  Result<void> add_network(const ensemble::vmm::v1::Device& device);
  Result<void> add_port(const ensemble::vmm::v1::Device& device);
  Result<void> add_serial(const ensemble::vmm::v1::Device& device);
  Result<void> add_machine_control(const ensemble::vmm::v1::Device& device);
  Result<void> add_gpio(const ensemble::vmm::v1::Device& device);
  Result<void> add_i2c(const ensemble::vmm::v1::Device& device);
  Result<void> add_virtio(const ensemble::vmm::v1::Device& device,
                          std::unique_ptr<device::VirtioDevice> virtio);
  Result<void> load(const ensemble::vmm::v1::Configuration& configuration);
  Result<std::string> finished_manifest(
      const ensemble::vmm::v1::Configuration& configuration) const;
  void measure_milestones(ensemble::vmm::v1::Milestones& milestones,
                          std::uint64_t process_started_at_ns) const;
  void measure_boot(ensemble::vmm::v1::Boot& boot, std::uint64_t process_started_at_ns) const;
  void measure_counters(const ensemble::vmm::v1::Configuration& configuration,
                        ensemble::vmm::v1::Measurements& measurements) const;
  void measure_memory(ensemble::vmm::v1::Memory& memory) const;
  Result<MemoryFigures> read_memory() const;

  std::unique_ptr<vmm::Machine> machine_;
  // Devices end before the machine, once no vCPU runs any more: see the destructor.
  std::unique_ptr<vmm::MachineControl> machine_control_;
  std::unique_ptr<MachineConsole> console_;
  std::unique_ptr<device::VirtioBus> virtio_bus_;
  std::unique_ptr<device::HostClock> clock_;        // Null: none.
  std::unique_ptr<device::ChipBoard> board_;        // Null: no chips.
  device::ChipSettings product_;                    // What all chips are told of the product.
  device::PortBackend* agent_;                      // Null: taken, or none.
  device::InputControls input_controls_;            // Of the bus's input devices.
  device::ConsoleDevice* sized_console_ = nullptr;  // The bus's; null: there is no terminal.
  device::BalloonDevice* balloon_ = nullptr;        // The bus's; null: there is none.
  std::optional<std::chrono::steady_clock::time_point> started_;
  mutable MemoryMeter memory_meter_;
};

}  // namespace ensemble::control
