#include "device-model/virtio/port_device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kConsoleDeviceId = 3;
constexpr std::uint16_t kQueueSize = 128;
constexpr unsigned kFeatureMultiport = 1;  // VIRTIO_CONSOLE_F_MULTIPORT
constexpr std::uint32_t kPortCount = 2;    // Port 0 is kept for a console.

// The most that one turn moves, so that no guest keeps the event loop to itself.
constexpr std::uint32_t kMostBytesPerTurn = 1 << 20;

}  // namespace

PortDevice::PortDevice(std::string name, PortBackend& backend)
    : VirtioDevice({.kind = "port",
                    .device_id = kConsoleDeviceId,
                    .features = feature_mask(kFeatureMultiport),
                    .queue_sizes = {kQueueSize, kQueueSize, kQueueSize, kQueueSize, kQueueSize,
                                    kQueueSize}}),
      name_(std::move(name)),
      backend_(backend) {
  backend_.set_handlers({.connected = [this] { connection_changed(); },
                         .disconnected = [this] { connection_ended(); },
                         .writable = [this] { transmit(); },
                         .readable = [this] { receive(); }});
  backend_.admit();
}

PortDevice::~PortDevice() {
  waiting_.reset();
  backend_.set_handlers({});
  backend_.disconnect();
}

std::vector<std::byte> PortDevice::configuration() const {
  std::vector<std::byte> configuration(8);  // struct virtio_console_config; no size
  std::memcpy(configuration.data() + 4, &kPortCount, sizeof kPortCount);
  return configuration;
}

void PortDevice::activated() {
  take_control();
  send_control();
  transmit();
  receive();
}

void PortDevice::queue_notified(std::uint16_t queue) {
  switch (queue) {
    case kControlReceiveQueue:
      send_control();
      break;
    case kControlTransmitQueue:
      take_control();
      break;
    case kReceiveQueue:
      receive();
      break;
    case kTransmitQueue:
      transmit();
      break;
    default:
      break;  // Of port 0, which is not there.
  }
}

void PortDevice::receive() {
  if (!transport().running()) {
    return;
  }
  std::uint64_t moved = 0;
  process_queue(kReceiveQueue, [&](vmm::DescriptorChain chain) {
    if (!announced_ || !guest_open_ || !backend_.connected()) {
      queue(kReceiveQueue).put_back(std::move(chain));
      return false;
    }
    moved += chain.writable_size();
    if (!fill_chain(std::move(chain))) {
      return false;
    }
    if (moved >= kMostBytesPerTurn) {
      transport().schedule(kReceiveQueue);
      return false;
    }
    return true;
  });
}

// Reads from the backend straight into a chain's buffers. False when there was nothing to read.
bool PortDevice::fill_chain(vmm::DescriptorChain chain) {
  std::uint32_t filled = 0;
  for (const std::span<std::byte> buffer : chain.writable()) {
    const std::size_t size =
        backend_.read(buffer.first(std::min<std::size_t>(buffer.size(), kMostBytesPerTurn)));
    filled += static_cast<std::uint32_t>(size);
    if (size < buffer.size()) {
      break;
    }
  }
  if (filled == 0 && chain.writable_size() != 0) {
    queue(kReceiveQueue).put_back(std::move(chain));
    return false;
  }
  carried_ = carried_ || filled != 0;
  queue(kReceiveQueue).push(std::move(chain), filled);
  return true;
}

void PortDevice::transmit() {
  if (!transport().running()) {
    return;
  }
  if (waiting_) {
    vmm::DescriptorChain chain = *std::exchange(waiting_, std::nullopt);
    if (!transmit_chain(std::move(chain))) {
      return;
    }
  }
  process_queue(kTransmitQueue,
                [this](vmm::DescriptorChain chain) { return transmit_chain(std::move(chain)); });
}

// Hands a chain's bytes to the backend, from waiting_offset_ on; drops them where the guest has no
// connection that they could be for. False when the chain has to wait.
bool PortDevice::transmit_chain(vmm::DescriptorChain chain) {
  const std::uint32_t turn_end = waiting_offset_ + kMostBytesPerTurn;
  std::uint32_t skip = waiting_offset_;
  for (std::span<const std::byte> buffer : chain.readable()) {
    if (!announced_ || !backend_.connected()) {
      break;
    }
    if (skip >= buffer.size()) {
      skip -= static_cast<std::uint32_t>(buffer.size());
      continue;
    }
    buffer = buffer.subspan(std::exchange(skip, 0));
    const std::size_t piece = std::min<std::size_t>(buffer.size(), turn_end - waiting_offset_);
    const std::size_t taken = backend_.write(buffer.first(piece));
    carried_ = carried_ || taken != 0;
    waiting_offset_ += static_cast<std::uint32_t>(taken);
    if (taken < buffer.size()) {
      waiting_ = std::move(chain);
      if (taken == piece) {  // The turn is over.
        transport().schedule(kTransmitQueue);
      }
      return false;
    }
  }
  waiting_offset_ = 0;
  queue(kTransmitQueue).push(std::move(chain), 0);
  return true;
}

void PortDevice::take_control() {
  process_queue(kControlTransmitQueue, [this](vmm::DescriptorChain chain) {
    ControlMessage message{};
    const bool whole =
        chain.read(0, std::as_writable_bytes(std::span(&message, 1))) == sizeof message;
    queue(kControlTransmitQueue).push(std::move(chain), 0);
    if (whole) {
      obey(message);
    }
    return true;
  });
}

void PortDevice::obey(const ControlMessage& message) {
  const auto event = static_cast<Event>(message.event);
  if (event == Event::kDeviceReady) {
    add_pending_ = message.value != 0;
  } else if (message.port == kPort && event == Event::kPortReady) {
    port_ready_ = message.value != 0;
    name_pending_ = port_ready_;
  } else if (message.port == kPort && event == Event::kPortOpen) {
    guest_opened(message.value != 0);
  } else {
    return;
  }
  send_control();
}

void PortDevice::guest_opened(bool open) {
  if (guest_open_ == open) {
    return;
  }
  guest_open_ = open;
  if (open) {
    receive();
    return;
  }
  must_reopen_ = false;
  if (announced_ && backend_.connected()) {
    backend_.disconnect();
  }
  // What the program had written was for the connection that has ended.
  transmit();
}

std::optional<PortDevice::Event> PortDevice::next_message() const {
  if (add_pending_) {
    return Event::kPortAdd;
  }
  if (name_pending_) {
    return Event::kPortName;
  }
  const bool wanted = backend_.connected() && !must_reopen_;
  // Between two connections the guest hears that the first has ended.
  return port_ready_ && wanted != announced_ ? std::optional(Event::kPortOpen) : std::nullopt;
}

// Tells the guest what it is still to hear, as far as it has buffers.
void PortDevice::send_control() {
  if (!transport().running()) {
    return;
  }
  process_queue(kControlReceiveQueue, [this](vmm::DescriptorChain chain) {
    const std::optional<Event> event = next_message();
    if (!event) {
      queue(kControlReceiveQueue).put_back(std::move(chain));
      return false;
    }
    const bool opens = *event == Event::kPortOpen && !announced_;
    const ControlMessage message{kPort, static_cast<std::uint16_t>(*event),
                                 static_cast<std::uint16_t>(opens || *event != Event::kPortOpen)};
    std::size_t size = chain.write(0, std::as_bytes(std::span(&message, 1)));
    if (*event == Event::kPortName) {
      size += chain.write(sizeof message, std::as_bytes(std::span(name_)));
    }
    queue(kControlReceiveQueue).push(std::move(chain), static_cast<std::uint32_t>(size));
    message_sent(*event);
    return true;
  });
}

void PortDevice::message_sent(Event event) {
  if (event == Event::kPortAdd) {
    add_pending_ = false;
  } else if (event == Event::kPortName) {
    name_pending_ = false;
  } else {
    announced_ = !announced_;
    if (announced_) {
      carried_ = false;
      transport().schedule(kReceiveQueue);
    }
  }
  if (!announced_ && !backend_.connected()) {
    backend_.admit();
  }
}

void PortDevice::connection_changed() {
  send_control();
}

void PortDevice::connection_ended() {
  if (!announced_) {
    backend_.admit();  // The guest never heard of it.
  } else {
    must_reopen_ = guest_open_ && carried_;
  }
  transmit();
  send_control();
}

void PortDevice::reset() {
  waiting_.reset();
  waiting_offset_ = 0;
  add_pending_ = name_pending_ = port_ready_ = guest_open_ = false;
  must_reopen_ = false;
  if (std::exchange(announced_, false)) {
    backend_.disconnect();
    backend_.admit();
  }
}

void PortDevice::save(vmm::StateWriter& writer) const {
  for (const bool flag : {add_pending_, name_pending_, port_ready_, guest_open_, announced_,
                          must_reopen_ || (announced_ && carried_)}) {
    writer.boolean(flag);
  }
  writer.u32(waiting_offset_);
}

// The host's end is not part of the state: the guest hears that it has gone.
Result<void> PortDevice::restore(vmm::StateReader& reader) {
  std::array<bool, 6> flags{};
  for (bool& flag : flags) {
    flag = reader.boolean();
  }
  const std::uint32_t offset = reader.u32();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  if (offset != 0 && !queue(kTransmitQueue).enabled()) {
    return fail("{} bytes of a message were taken, but there is no queue that has it", offset);
  }
  waiting_.reset();
  waiting_offset_ = offset;
  add_pending_ = flags[0];
  name_pending_ = flags[1];
  port_ready_ = flags[2];
  guest_open_ = flags[3];
  announced_ = flags[4];
  must_reopen_ = flags[5] && guest_open_;
  backend_.disconnect();
  if (!announced_) {
    backend_.admit();
  }
  return {};
}

}  // namespace ensemble::device
