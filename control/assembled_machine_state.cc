#include "control/assembled_machine.h"

// Saved state of an assembled machine's devices.

namespace ensemble::control {

// The chips' clock and pins come before the chips, as the board has them.
std::vector<vmm::Stateful*> AssembledMachine::stateful_devices() const {
  std::vector<vmm::Stateful*> devices{console_.get()};
  if (console_->has_serial()) {
    devices.push_back(console_->serial());
  }
  if (machine_control_) {
    devices.push_back(machine_control_.get());
  }
  if (clock_) {
    devices.push_back(&clock_->clock());
  }
  for (const auto& more : {board_->stateful_components(), virtio_bus_->stateful_components()}) {
    devices.insert(devices.end(), more.begin(), more.end());
  }
  return devices;
}

Result<void> AssembledMachine::require_pause(std::string_view what) const {
  if (machine_->state() != vmm::MachineState::kPaused) {
    return fail("devices can be {} only while the machine is paused", what);
  }
  return {};
}

Result<std::vector<std::byte>> AssembledMachine::save_devices() const {
  if (auto paused = require_pause("saved"); !paused) {
    return std::unexpected(paused.error());
  }
  return vmm::save_state(stateful_devices());
}

Result<void> AssembledMachine::restore_devices(std::span<const std::byte> state) {
  auto paused = require_pause("restored");
  return paused ? vmm::restore_state(state, stateful_devices()) : paused;
}

}  // namespace ensemble::control
