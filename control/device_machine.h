#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "control/console_port.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "device-model/virtio/port_backend.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/machine.h"

namespace ensemble::control {

// The machine of a device's process, whichever engine it is. Used on the process's event loop.
class DeviceMachine {
 public:
  // Told once, on the event loop, when the machine has stopped for good.
  using StopHandler = std::function<void(const vmm::StopReason& reason)>;

  virtual ~DeviceMachine() = default;

  virtual vmm::MachineState state() const = 0;
  virtual Result<void> start() = 0;
  virtual Result<void> pause() = 0;
  virtual Result<void> resume() = 0;
  // Ends the machine for the reason given; the first one counts. Returns at once.
  virtual void stop(const vmm::StopReason& reason) = 0;
  virtual void set_stop_handler(StopHandler handler) = 0;

  // The console's terminal has this size now. Nothing happens without a console that is one.
  virtual void resize_console(const ensemble::vmm::v1::ConsoleSize& size) = 0;

  // What a hand does to the device. The Error says why it cannot be done, field and range included.
  virtual Result<void> send_input(const ensemble::vmm::v1::SendInput& input) = 0;

  // Presses the power button and lets it go. The Error says why that cannot be done.
  virtual Result<void> press_power_button() = 0;

  // Has the guest do without so much memory, as far as it can. The Error says why it cannot be
  // asked.
  virtual Result<void> set_balloon(std::uint64_t bytes) = 0;

  // What the machine has done so far, as far as the configuration asks for it and the engine knows.
  virtual ensemble::vmm::v1::Measurements measure(
      const ensemble::vmm::v1::Configuration& configuration) const = 0;
};

// Makes a machine that is ready to start. `loop`, `console` and `agent` outlive it; `agent` is null
// where the configuration has no port.
using MachineMaker = std::function<Result<std::unique_ptr<DeviceMachine>>(
    const ensemble::vmm::v1::Configuration& configuration, vmm::EventLoop& loop,
    ConsolePort& console, device::PortBackend* agent)>;

}  // namespace ensemble::control
