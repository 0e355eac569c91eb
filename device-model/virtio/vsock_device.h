#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device-model/virtio/virtio_device.h"
#include "device-model/virtio/vsock_connection.h"
#include "device-model/virtio/vsock_listener.h"
#include "device-model/virtio/vsock_packet.h"
#include "vmm/event_loop.h"

namespace ensemble::device {

// A virtio socket device (virtio 1.2, section 5.10): stream sockets between programs of the guest
// and Unix sockets of the host, as VsockListener has them. There are no datagrams and no
// SEQPACKET. At most kMostConnections are open; what goes beyond is reset.
class VsockDevice final : public VirtioDevice {
 public:
  static constexpr std::uint16_t kReceiveQueue = 0;
  static constexpr std::uint16_t kTransmitQueue = 1;
  static constexpr std::uint16_t kEventQueue = 2;
  static constexpr std::uint64_t kHostCid = 2;
  static constexpr std::uint64_t kGuestCid = 3;
  static constexpr std::size_t kMostConnections = 128;
  // Resets for packets that belong to no connection; with so many waiting further ones are left
  // out.
  static constexpr std::size_t kMostResets = 256;

  // `loop` outlives the device. An Error when it cannot listen at `path`.
  static Result<std::unique_ptr<VsockDevice>> create(vmm::EventLoop& loop, const std::string& path);

  std::size_t connection_count() const { return connections_.size(); }

  std::vector<std::byte> configuration() const override;
  void activated() override;
  void queue_notified(std::uint16_t queue) override;
  void reset() override;
  // Nothing is saved: connections end with their sockets, and the guest is told after a restore.
  Result<void> restore(vmm::StateReader& reader) override;

 private:
  struct Entry {
    std::unique_ptr<VsockConnection> connection;
    bool queued = false;  // In ready_.
  };

  explicit VsockDevice(vmm::EventLoop& loop);

  void open_to_guest(vmm::FileDescriptor socket, std::uint32_t port);
  VsockConnection& add(VsockPorts ports, vmm::FileDescriptor socket, VsockConnection::Asker asker);
  void settle(VsockPorts ports);
  void transmit();
  void take_packet(const vmm::DescriptorChain& chain);
  void open_to_host(const VsockHeader& header, const vmm::DescriptorChain& chain);
  void refuse(const VsockHeader& header);
  void receive();
  bool deliver(vmm::DescriptorChain chain);
  std::uint32_t write_packet(vmm::DescriptorChain& chain);
  void tell_of_lost_connections();

  vmm::EventLoop& loop_;
  std::unique_ptr<VsockListener> listener_;
  std::map<VsockPorts, Entry> connections_;
  std::deque<VsockPorts> ready_;    // Those that may have a packet, in turn.
  std::deque<VsockHeader> resets_;  // To be sent.
  std::uint32_t next_port_;         // Of the host, for the next connection to the guest.
  bool lost_connections_ = false;   // The guest is to be told.
};

}  // namespace ensemble::device
