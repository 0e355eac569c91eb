#include "device-model/virtio/vsock_device.h"

#include <cstring>
#include <utility>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kVsockDeviceId = 19;
constexpr std::uint16_t kQueueSize = 128;
constexpr std::uint16_t kEventQueueSize = 16;

// The host's ports for connections that it asks for; below are those that programs choose.
constexpr std::uint32_t kFirstHostPort = 1U << 30;

// struct virtio_vsock_event.
constexpr std::uint32_t kTransportReset = 0;

}  // namespace

Result<std::unique_ptr<VsockDevice>> VsockDevice::create(vmm::EventLoop& loop,
                                                         const std::string& path) {
  std::unique_ptr<VsockDevice> device(new VsockDevice(loop));
  VsockDevice& raw = *device;
  auto listener =
      VsockListener::create(loop, path, [&raw](vmm::FileDescriptor socket, std::uint32_t port) {
        raw.open_to_guest(std::move(socket), port);
      });
  if (!listener) {
    return std::unexpected(listener.error());
  }
  raw.listener_ = *std::move(listener);
  return device;
}

VsockDevice::VsockDevice(vmm::EventLoop& loop)
    : VirtioDevice({.kind = "vsock",
                    .device_id = kVsockDeviceId,
                    .features = 0,
                    .queue_sizes = {kQueueSize, kQueueSize, kEventQueueSize}}),
      loop_(loop),
      next_port_(kFirstHostPort) {}

std::vector<std::byte> VsockDevice::configuration() const {
  std::vector<std::byte> bytes(sizeof(kGuestCid));
  std::memcpy(bytes.data(), &kGuestCid, sizeof(kGuestCid));
  return bytes;
}

void VsockDevice::activated() {
  tell_of_lost_connections();
  receive();
}

void VsockDevice::queue_notified(std::uint16_t queue) {
  if (queue == kTransmitQueue) {
    transmit();
  } else if (queue == kEventQueue) {
    tell_of_lost_connections();
  } else {
    receive();
  }
}

// A client of the host wants a port of the guest. Without a driver it finds itself hung up on.
void VsockDevice::open_to_guest(vmm::FileDescriptor socket, std::uint32_t port) {
  if (!transport().running() || connections_.size() >= kMostConnections) {
    return;
  }
  VsockPorts ports{.guest = port, .host = next_port_};
  while (connections_.contains(ports)) {
    ports.host = ports.host == ~std::uint32_t{0} ? kFirstHostPort : ports.host + 1;
  }
  next_port_ = ports.host == ~std::uint32_t{0} ? kFirstHostPort : ports.host + 1;
  add(ports, std::move(socket), VsockConnection::Asker::kHost);
  settle(ports);
  receive();
}

VsockConnection& VsockDevice::add(VsockPorts ports, vmm::FileDescriptor socket,
                                  VsockConnection::Asker asker) {
  Entry& entry = connections_[ports];
  entry.connection =
      std::make_unique<VsockConnection>(ports, std::move(socket), asker, loop_, [this, ports] {
        settle(ports);
        receive();
      });
  return *entry.connection;
}

// Forgets a connection that has ended; has one that may have a packet wait for its turn.
void VsockDevice::settle(VsockPorts ports) {
  const auto found = connections_.find(ports);
  if (found == connections_.end()) {
    return;
  }
  Entry& entry = found->second;
  if (entry.connection->ended()) {
    // Its turn goes too: without receive buffers nothing else takes it from the list.
    if (entry.queued) {
      std::erase(ready_, ports);
    }
    connections_.erase(found);
  } else if (entry.connection->has_packet() && !std::exchange(entry.queued, true)) {
    ready_.push_back(ports);
  }
}

void VsockDevice::transmit() {
  process_queue(kTransmitQueue, [this](vmm::DescriptorChain chain) {
    take_packet(chain);
    queue(kTransmitQueue).push(std::move(chain), 0);
    return true;
  });
  receive();
}

// A packet without a whole header, or not from this guest, is lost.
void VsockDevice::take_packet(const vmm::DescriptorChain& chain) {
  VsockHeader header;
  if (chain.read(0, std::as_writable_bytes(std::span(&header, 1))) < sizeof(header) ||
      header.source_cid != kGuestCid) {
    return;
  }
  const VsockPorts ports{.guest = header.source_port, .host = header.target_port};
  const auto found = connections_.find(ports);
  if (header.target_cid != kHostCid || header.type != kVsockStream) {
    refuse(header);
  } else if (found != connections_.end()) {
    found->second.connection->take(header, chain);
    settle(ports);
  } else if (header.operation == kVsockRequest) {
    open_to_host(header, chain);
  } else {
    refuse(header);
  }
}

void VsockDevice::open_to_host(const VsockHeader& header, const vmm::DescriptorChain& chain) {
  if (connections_.size() >= kMostConnections) {
    refuse(header);
    return;
  }
  vmm::FileDescriptor socket = listener_->connect(header.target_port);
  if (!socket) {
    refuse(header);
    return;
  }
  const VsockPorts ports{.guest = header.source_port, .host = header.target_port};
  VsockHeader room = header;
  room.operation = kVsockCreditUpdate;  // What a request tells beside.
  add(ports, std::move(socket), VsockConnection::Asker::kGuest).take(room, chain);
  settle(ports);
}

void VsockDevice::refuse(const VsockHeader& header) {
  if (header.operation == kVsockReset || resets_.size() >= kMostResets) {
    return;
  }
  resets_.push_back({.source_cid = header.target_cid,
                     .target_cid = header.source_cid,
                     .source_port = header.target_port,
                     .target_port = header.source_port,
                     .type = header.type,
                     .operation = kVsockReset});
}

void VsockDevice::receive() {
  if (!transport().running() || (resets_.empty() && ready_.empty())) {
    return;
  }
  process_queue(kReceiveQueue,
                [this](vmm::DescriptorChain chain) { return deliver(std::move(chain)); });
}

// Fills a buffer of the guest. False when there is no packet for it.
bool VsockDevice::deliver(vmm::DescriptorChain chain) {
  if (chain.writable_size() <= sizeof(VsockHeader)) {
    transport().mark_broken(Error(fmt::format("a receive buffer of {} bytes; expected more than {}",
                                              chain.writable_size(), sizeof(VsockHeader))));
    return false;
  }
  const std::uint32_t size = write_packet(chain);
  if (size == 0) {
    queue(kReceiveQueue).put_back(std::move(chain));
    return false;
  }
  queue(kReceiveQueue).push(std::move(chain), size);
  return true;
}

std::uint32_t VsockDevice::write_packet(vmm::DescriptorChain& chain) {
  if (!resets_.empty()) {
    chain.write(0, std::as_bytes(std::span(&resets_.front(), 1)));
    resets_.pop_front();
    return sizeof(VsockHeader);
  }
  while (!ready_.empty()) {
    const VsockPorts ports = ready_.front();
    ready_.pop_front();
    const auto found = connections_.find(ports);
    // A connection that ended may have left its place to one with the same ports.
    if (found == connections_.end() || !std::exchange(found->second.queued, false)) {
      continue;
    }
    const std::uint32_t size = found->second.connection->write_packet(
        chain, {.source_cid = kHostCid, .target_cid = kGuestCid});
    settle(ports);
    if (size != 0) {
      return size;
    }
  }
  return 0;
}

void VsockDevice::tell_of_lost_connections() {
  if (!lost_connections_ || !transport().running()) {
    return;
  }
  if (auto chain = pop(kEventQueue)) {
    lost_connections_ = false;
    chain->write(0, std::as_bytes(std::span(&kTransportReset, 1)));
    complete(kEventQueue, *std::move(chain), sizeof(kTransportReset));
  }
}

void VsockDevice::reset() {
  connections_.clear();
  ready_.clear();
  resets_.clear();
  lost_connections_ = false;
}

Result<void> VsockDevice::restore(vmm::StateReader&) {
  lost_connections_ = true;
  return {};
}

}  // namespace ensemble::device
