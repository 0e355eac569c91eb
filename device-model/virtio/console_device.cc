#include "device-model/virtio/console_device.h"

#include <algorithm>
#include <array>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kConsoleDeviceId = 3;
constexpr std::uint16_t kQueueSize = 128;
constexpr unsigned kFeatureSize = 0;  // VIRTIO_CONSOLE_F_SIZE

// Copied out of the guest at once.
constexpr std::size_t kPieceBytes = 4096;

void append(std::vector<std::byte>& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<std::byte>(value));
  bytes.push_back(static_cast<std::byte>(value >> 8));
}

}  // namespace

ConsoleDevice::ConsoleDevice(std::unique_ptr<ConsoleBackend> backend, bool has_size)
    : VirtioDevice({.kind = "console",
                    .device_id = kConsoleDeviceId,
                    .features = has_size ? feature_mask(kFeatureSize) : 0,
                    .queue_sizes = {kQueueSize, kQueueSize}}),
      backend_(std::move(backend)) {
  backend_->set_handlers([this] { transmit(); }, [this] { receive(); });
}

ConsoleDevice::~ConsoleDevice() {
  waiting_.reset();
}

void ConsoleDevice::set_size(std::uint16_t columns, std::uint16_t rows) {
  columns_ = columns;
  rows_ = rows;
  transport().notify_configuration();
}

std::vector<std::byte> ConsoleDevice::configuration() const {
  std::vector<std::byte> configuration;
  append(configuration, columns_);
  append(configuration, rows_);
  return configuration;
}

void ConsoleDevice::activated() {
  receive();
}

void ConsoleDevice::queue_notified(std::uint16_t queue) {
  if (queue == kReceiveQueue) {
    receive();
  } else {
    transmit();
  }
}

void ConsoleDevice::receive() {
  if (!transport().running()) {
    return;
  }
  process_queue(kReceiveQueue, [this](vmm::DescriptorChain chain) {
    std::array<std::byte, kPieceBytes> input;
    const std::size_t room = std::min<std::size_t>(chain.writable_size(), input.size());
    if (room == 0) {
      queue(kReceiveQueue).push(std::move(chain), 0);
      return true;
    }
    const std::size_t size = backend_->read(std::span(input).first(room));
    if (size == 0) {
      queue(kReceiveQueue).put_back(std::move(chain));
      return false;
    }
    chain.write(0, std::span(input).first(size));
    queue(kReceiveQueue).push(std::move(chain), static_cast<std::uint32_t>(size));
    return true;
  });
}

void ConsoleDevice::transmit() {
  if (!transport().running()) {
    return;
  }
  if (waiting_) {
    vmm::DescriptorChain chain = *std::move(waiting_);
    waiting_.reset();
    if (!transmit_chain(std::move(chain))) {
      return;
    }
  }
  process_queue(kTransmitQueue,
                [this](vmm::DescriptorChain chain) { return transmit_chain(std::move(chain)); });
}

// Hands a chain's bytes to the backend, from waiting_offset_ on. False when the chain has to wait.
bool ConsoleDevice::transmit_chain(vmm::DescriptorChain chain) {
  // A long chain is handed over in turns, so that it cannot keep the event loop to itself.
  constexpr std::uint32_t kMostBytesPerTurn = 1 << 20;
  const std::uint32_t turn_end = waiting_offset_ + kMostBytesPerTurn;
  std::array<std::byte, kPieceBytes> piece;
  while (waiting_offset_ < chain.readable_size()) {
    const std::size_t size = chain.read(waiting_offset_, piece);
    const std::size_t taken = backend_->write(std::span(piece).first(size));
    waiting_offset_ += static_cast<std::uint32_t>(taken);
    const bool turn_over = waiting_offset_ >= turn_end && waiting_offset_ < chain.readable_size();
    if (taken < size || turn_over) {
      waiting_ = std::move(chain);
      if (turn_over) {
        transport().schedule(kTransmitQueue);
      }
      return false;
    }
  }
  waiting_offset_ = 0;
  queue(kTransmitQueue).push(std::move(chain), 0);
  return true;
}

void ConsoleDevice::reset() {
  waiting_.reset();
  waiting_offset_ = 0;
}

void ConsoleDevice::save(vmm::StateWriter& writer) const {
  writer.u32(waiting_offset_);
  writer.u16(columns_);
  writer.u16(rows_);
}

Result<void> ConsoleDevice::restore(vmm::StateReader& reader) {
  const std::uint32_t offset = reader.u32();
  const std::uint16_t columns = reader.u16();
  const std::uint16_t rows = reader.u16();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  if (offset != 0 && !queue(kTransmitQueue).enabled()) {
    return fail("{} bytes of an output were taken, but there is no queue that has it", offset);
  }
  waiting_.reset();
  waiting_offset_ = offset;
  columns_ = columns;
  rows_ = rows;
  return {};
}

}  // namespace ensemble::device
