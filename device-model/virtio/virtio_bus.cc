#include "device-model/virtio/virtio_bus.h"

#include <algorithm>

#include "device-model/machine_layout.h"

namespace ensemble::device {

VirtioBus::VirtioBus(vmm::Machine& machine)
    : VirtioBus(Host{.memory = machine.memory(),
                     .registers = machine.mmio_bus(),
                     .doorbells = &machine.doorbells(),
                     .loop = machine.event_loop(),
                     .make_interrupt = [&machine](std::uint32_t gsi) {
                       return machine.make_interrupt_line(gsi);
                     }}) {}

Result<VirtioMmio*> VirtioBus::attach(std::unique_ptr<VirtioDevice> device) {
  const std::size_t slot = devices_.size();
  if (slot >= kMaximumVirtioDevices) {
    return fail("cannot add another {} device: a machine has at most {} virtio devices",
                device->identity().kind, kMaximumVirtioDevices);
  }
  return attach_at(std::move(device), kVirtioAddress + slot * kVirtioStride, kVirtioGsis[slot]);
}

Result<VirtioMmio*> VirtioBus::attach_at(std::unique_ptr<VirtioDevice> device,
                                         std::uint64_t address, std::uint32_t gsi) {
  const VirtioNode node{.name = device->identity().kind,
                        .device_id = device->identity().device_id,
                        .address = address,
                        .gsi = gsi};
  const auto number = std::ranges::count(nodes_, node.name, &VirtioNode::name);
  const std::string name = fmt::format("virtio-{}{}", node.name, number);
  auto interrupt = host_.make_interrupt(gsi);
  if (!interrupt) {
    return std::unexpected(interrupt.error().with_context(name));
  }
  auto transport = std::make_unique<VirtioMmio>(name, std::move(device), host_.memory, host_.loop,
                                                *std::move(interrupt));
  if (host_.doorbells != nullptr) {
    if (auto added = transport->add_doorbells(*host_.doorbells, address); !added) {
      return std::unexpected(added.error());
    }
  }
  if (auto inserted = host_.registers.insert(address, kVirtioSize, *transport); !inserted) {
    return std::unexpected(inserted.error());
  }
  nodes_.push_back(node);
  devices_.push_back(std::move(transport));
  return devices_.back().get();
}

std::vector<VirtioBus::QueueFigures> VirtioBus::queue_figures() const {
  std::vector<QueueFigures> figures;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const VirtioDevice& device = devices_[i]->device();
    for (std::uint16_t index = 0; index < device.queue_count(); ++index) {
      const vmm::Virtqueue& queue = device.queue(index);
      figures.push_back({.address = nodes_[i].address,
                         .index = index,
                         .waiting = queue.waiting(),
                         .in_flight = queue.in_flight(),
                         .completed = queue.completed()});
    }
  }
  return figures;
}

std::vector<std::optional<std::chrono::steady_clock::time_point>> VirtioBus::driver_times() const {
  std::vector<std::optional<std::chrono::steady_clock::time_point>> times;
  for (const auto& device : devices_) {
    times.push_back(device->driver_time());
  }
  return times;
}

std::vector<vmm::Stateful*> VirtioBus::stateful_components() const {
  std::vector<vmm::Stateful*> components;
  components.reserve(devices_.size());
  for (const auto& device : devices_) {
    components.push_back(device.get());
  }
  return components;
}

}  // namespace ensemble::device
