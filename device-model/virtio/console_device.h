#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "device-model/virtio/console_backend.h"
#include "device-model/virtio/virtio_device.h"

namespace ensemble::device {

// A virtio console with one port (virtio 1.2, section 5.3). Output that the backend does not take
// stays in the guest's buffers, and input is read only when the guest has a buffer for it, so that
// neither side can make the VMM grow.
class ConsoleDevice final : public VirtioDevice {
 public:
  static constexpr std::uint16_t kReceiveQueue = 0;
  static constexpr std::uint16_t kTransmitQueue = 1;

  // `has_size`: whether the driver is told of the terminal's size.
  explicit ConsoleDevice(std::unique_ptr<ConsoleBackend> backend, bool has_size = true);
  ~ConsoleDevice() override;

  // The size of the terminal, in characters. Tells the driver. With the device lock held.
  void set_size(std::uint16_t columns, std::uint16_t rows);

  std::vector<std::byte> configuration() const override;
  void activated() override;
  void queue_notified(std::uint16_t queue) override;
  void reset() override;
  void save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader) override;

 private:
  void receive();
  void transmit();
  bool transmit_chain(vmm::DescriptorChain chain);

  const std::unique_ptr<ConsoleBackend> backend_;
  std::uint16_t columns_ = 0;
  std::uint16_t rows_ = 0;
  // The chain that the backend has not taken whole, and how much of it it has taken. The offset
  // may be known before the chain: after a restore, when it is still to be popped.
  std::optional<vmm::DescriptorChain> waiting_;
  std::uint32_t waiting_offset_ = 0;
};

}  // namespace ensemble::device
