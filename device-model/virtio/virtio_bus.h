#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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

  // The devices, for saved state.
  std::vector<vmm::Stateful*> stateful_components() const;

 private:
  Host host_;
  std::vector<std::unique_ptr<VirtioMmio>> devices_;
  std::vector<VirtioNode> nodes_;
};

}  // namespace ensemble::device
