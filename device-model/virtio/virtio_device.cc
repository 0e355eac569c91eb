#include "device-model/virtio/virtio_device.h"

namespace ensemble::device {

void VirtioDevice::connect(const vmm::GuestMemory& memory, VirtioTransport& transport) {
  transport_ = &transport;
  for (const std::uint16_t size : identity_.queue_sizes) {
    queues_.push_back(std::make_unique<vmm::Virtqueue>(memory, size));
  }
}

std::optional<vmm::DescriptorChain> VirtioDevice::pop(std::uint16_t index) {
  auto chain = queue(index).pop();
  if (!chain) {
    transport_->mark_broken(chain.error().with_context(fmt::format("queue {}", index)));
    return std::nullopt;
  }
  return *std::move(chain);
}

void VirtioDevice::complete(std::uint16_t index, vmm::DescriptorChain chain,
                            std::uint32_t written) {
  queue(index).push(std::move(chain), written);
  notify_used(index);
}

void VirtioDevice::notify_used(std::uint16_t index) {
  if (queue(index).take_interrupt_need()) {
    transport_->notify_used();
  }
}

}  // namespace ensemble::device
