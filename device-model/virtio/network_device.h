#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "device-model/virtio/network_backend.h"
#include "device-model/virtio/virtio_device.h"

namespace ensemble::device {

using MacAddress = std::array<std::uint8_t, 6>;

// A virtio network device (virtio 1.2, section 5.1) with one pair of queues, receive buffers that
// may be merged, and no offloads: each frame has its checksums. The link is always up.
//
// One frame at a time is in the device; others wait in the guest's queue or in the backend. A frame
// that is larger than the guest's buffer, where it does not merge them, is lost.
class NetworkDevice final : public VirtioDevice {
 public:
  static constexpr std::uint16_t kReceiveQueue = 0;
  static constexpr std::uint16_t kTransmitQueue = 1;

  // struct virtio_net_hdr.
  struct Header {
    std::uint8_t flags = 0;
    std::uint8_t gso_type = 0;
    std::uint16_t hdr_len = 0;
    std::uint16_t gso_size = 0;
    std::uint16_t csum_start = 0;
    std::uint16_t csum_offset = 0;
    std::uint16_t num_buffers = 1;
  };
  static_assert(sizeof(Header) == 12);

  NetworkDevice(const MacAddress& mac, std::unique_ptr<NetworkBackend> backend);
  ~NetworkDevice() override;

  std::vector<std::byte> configuration() const override;
  void activated() override;
  void queue_notified(std::uint16_t queue) override;
  void reset() override;
  // The address and the largest payload. Frames and the backend's connections are not saved: to the
  // guest that is a network that lost some frames, and whose other ends have forgotten it.
  void save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader) override;

 private:
  // For a frame, in the receive queue.
  enum class Room { kFound, kWait, kNever };

  void receive();
  bool next_frame();
  void transmit();
  void transmit_chain(const vmm::DescriptorChain& chain);
  bool deliver(vmm::DescriptorChain first);
  Room find_room(std::vector<vmm::DescriptorChain>& chains, std::size_t size);

  MacAddress mac_;
  const std::unique_ptr<NetworkBackend> backend_;
  std::vector<std::byte> outgoing_;  // Room for the largest frame.
  std::vector<std::byte> incoming_;  // A header, and the frame that is to be delivered.
  std::size_t incoming_size_ = 0;    // Of that frame; 0: there is none.
};

}  // namespace ensemble::device
