#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device-model/machine_description.h"
#include "device-model/virtio/virtio_device.h"
#include "device-model/virtio/virtio_mmio.h"
#include "vmm/bus.h"
#include "vmm/doorbell.h"
#include "vmm/event_loop.h"
#include "vmm/guest_memory.h"
#include "vmm/interrupt_line.h"
#include "vmm/machine.h"

namespace ensemble::device {

// The virtio devices of one machine: gives each the next address and interrupt of
// docs/machine.md, and connects it. Owns the devices. Destroy it after its machine has stopped, and
// before the machine's event loop.
class VirtioBus {
 public:
  // What the devices need of a machine. All of it outlives the bus.
  struct Host {
    const vmm::GuestMemory& memory;
    vmm::Bus& registers;
    vmm::DoorbellRegistry* doorbells;  // Null: without; notifications are exits then.
    vmm::EventLoop& loop;
    std::function<Result<std::unique_ptr<vmm::InterruptLine>>(std::uint32_t gsi)> make_interrupt;
  };

  explicit VirtioBus(Host host) : host_(std::move(host)) {}
  explicit VirtioBus(vmm::Machine& machine);

  // Connects a device, before the machine starts. The result is owned by the bus. An Error when all
  // addresses are taken, or the machine refuses.
  Result<VirtioMmio*> attach(std::unique_ptr<VirtioDevice> device);

  // The same at an address and interrupt of the caller's choice.
  Result<VirtioMmio*> attach_at(std::unique_ptr<VirtioDevice> device, std::uint64_t address,
                                std::uint32_t gsi);

  // The devices, for the manifest.
  const std::vector<VirtioNode>& nodes() const { return nodes_; }

  // What there is to do in a queue, and what was done.
  struct QueueFigures {
    std::uint64_t address = 0;  // Of its device's registers.
    std::uint16_t index = 0;
    std::uint16_t waiting = 0;
    std::uint16_t in_flight = 0;
    std::uint64_t completed = 0;
  };

  // All queues of all devices. With the device lock held.
  std::vector<QueueFigures> queue_figures() const;

  // When the driver of each device was first ready; absent: it was not yet. With the device lock
  // held.
  std::vector<std::optional<std::chrono::steady_clock::time_point>> driver_times() const;

  // The devices, for saved state.
  std::vector<vmm::Stateful*> stateful_components() const;

 private:
  Host host_;
  std::vector<std::unique_ptr<VirtioMmio>> devices_;
  std::vector<VirtioNode> nodes_;
};

}  // namespace ensemble::device
