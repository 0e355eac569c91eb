#include "device-model/virtio/network_device.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kNetworkDeviceId = 1;
constexpr std::uint16_t kQueueSize = 256;

// Feature bits.
constexpr unsigned kMtu = 3;
constexpr unsigned kMac = 5;
constexpr unsigned kMergeReceiveBuffers = 15;
constexpr unsigned kStatus = 16;

constexpr std::uint16_t kLinkUp = 1;

// struct virtio_net_config, as far as the features above reach.
struct Configuration {
  std::array<std::uint8_t, 6> mac;
  std::uint16_t status;
  std::uint16_t max_virtqueue_pairs;
  std::uint16_t mtu;
};
static_assert(sizeof(Configuration) == 12);

}  // namespace

NetworkDevice::NetworkDevice(const MacAddress& mac, std::unique_ptr<NetworkBackend> backend)
    : VirtioDevice({.kind = "network",
                    .device_id = kNetworkDeviceId,
                    .features = feature_mask(kMtu) | feature_mask(kMac) |
                                feature_mask(kMergeReceiveBuffers) | feature_mask(kStatus),
                    .queue_sizes = {kQueueSize, kQueueSize}}),
      mac_(mac),
      backend_(std::move(backend)),
      outgoing_(NetworkBackend::kLargestHeader + backend_->mtu()),
      incoming_(sizeof(Header) + outgoing_.size()) {
  backend_->set_readable_handler([this] { receive(); });
}

NetworkDevice::~NetworkDevice() {
  backend_->set_readable_handler({});
}

std::vector<std::byte> NetworkDevice::configuration() const {
  const Configuration fields{
      .mac = mac_, .status = kLinkUp, .max_virtqueue_pairs = 1, .mtu = backend_->mtu()};
  std::vector<std::byte> bytes(sizeof(fields));
  std::memcpy(bytes.data(), &fields, sizeof(fields));
  return bytes;
}

void NetworkDevice::activated() {
  receive();
}

void NetworkDevice::queue_notified(std::uint16_t queue) {
  if (queue == kReceiveQueue) {
    receive();
  } else {
    transmit();
  }
}

void NetworkDevice::transmit() {
  process_queue(kTransmitQueue, [this](vmm::DescriptorChain chain) {
    transmit_chain(chain);
    queue(kTransmitQueue).push(std::move(chain), 0);
    return true;
  });
  backend_->flush();
}

// A frame of a wrong size is lost, and so is one that wants an offload: none was negotiated.
void NetworkDevice::transmit_chain(const vmm::DescriptorChain& chain) {
  Header header;
  if (chain.read(0, std::as_writable_bytes(std::span(&header, 1))) < sizeof(header) ||
      chain.readable_size() > sizeof(header) + outgoing_.size() ||
      chain.readable_size() < sizeof(header) + NetworkBackend::kSmallestHeader ||
      header.flags != 0 || header.gso_type != 0) {
    return;
  }
  const std::size_t size = chain.read(sizeof(header), outgoing_);
  backend_->send(std::span(outgoing_).first(size));
}

void NetworkDevice::receive() {
  if (!transport().running() || !next_frame()) {
    return;
  }
  process_queue(kReceiveQueue,
                [this](vmm::DescriptorChain chain) { return deliver(std::move(chain)); });
}

// Whether there is a frame to deliver.
bool NetworkDevice::next_frame() {
  if (incoming_size_ == 0) {
    incoming_size_ = backend_->receive(std::span(incoming_).subspan(sizeof(Header)));
  }
  return incoming_size_ != 0;
}

// Fills `first`, and the chains behind it that it takes, with the next frame. False when there is
// none, or when it has to wait for more chains.
bool NetworkDevice::deliver(vmm::DescriptorChain first) {
  std::vector<vmm::DescriptorChain> chains;
  chains.push_back(std::move(first));
  const bool has_frame = next_frame();
  const std::size_t size = sizeof(Header) + incoming_size_;
  const Room room = has_frame ? find_room(chains, size) : Room::kWait;
  if (room != Room::kFound) {
    while (!chains.empty()) {
      queue(kReceiveQueue).put_back(std::move(chains.back()));
      chains.pop_back();
    }
    if (room == Room::kNever) {
      incoming_size_ = 0;
      return true;
    }
    return false;
  }
  const Header header{.num_buffers = static_cast<std::uint16_t>(chains.size())};
  std::memcpy(incoming_.data(), &header, sizeof(header));
  std::vector<vmm::Virtqueue::Filled> filled;
  std::size_t done = 0;
  for (vmm::DescriptorChain& chain : chains) {
    const std::size_t written = chain.write(0, std::span(incoming_).subspan(done, size - done));
    done += written;
    filled.push_back({std::move(chain), static_cast<std::uint32_t>(written)});
  }
  incoming_size_ = 0;
  queue(kReceiveQueue).push_together(std::move(filled));
  return true;
}

// Adds chains until they hold `size` bytes.
NetworkDevice::Room NetworkDevice::find_room(std::vector<vmm::DescriptorChain>& chains,
                                             std::size_t size) {
  std::size_t room = chains.front().writable_size();
  if (room < sizeof(Header)) {
    transport().mark_broken(Error(
        fmt::format("a receive buffer of {} bytes; expected {} at least", room, sizeof(Header))));
    return Room::kWait;
  }
  while (room < size) {
    if (!transport().has_feature(kMergeReceiveBuffers)) {
      return Room::kNever;
    }
    auto chain = pop(kReceiveQueue);
    if (chain) {
      room += chain->writable_size();
      chains.push_back(*std::move(chain));
    } else if (!transport().running() || !queue(kReceiveQueue).request_notifications()) {
      // Asked before the chains are put back: the driver need only tell of those behind them.
      return Room::kWait;
    }
  }
  return Room::kFound;
}

void NetworkDevice::reset() {
  incoming_size_ = 0;
}

void NetworkDevice::save(vmm::StateWriter& writer) const {
  writer.bytes(std::as_bytes(std::span(mac_)));
  writer.u16(backend_->mtu());
}

Result<void> NetworkDevice::restore(vmm::StateReader& reader) {
  const auto mac = reader.object<MacAddress>();
  const std::uint16_t mtu = reader.u16();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  if (mtu != backend_->mtu()) {
    return fail("frames had up to {} bytes when it was saved, and have {} now", mtu,
                backend_->mtu());
  }
  mac_ = mac;
  return {};
}

}  // namespace ensemble::device
