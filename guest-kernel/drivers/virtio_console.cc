// Driver of the virtio console (virtio 1.2, section 5.3): port 0, no multiport. Output goes to the
// device straight from the ring that the client writes; input is copied into the ring that it
// reads.

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/drivers/virtio_transport.h"
#include "guest-kernel/lib/console_window.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/program.h"

namespace {

using driver::VirtioQueue;

constexpr std::uint32_t kDeviceId = 3;
constexpr std::uint64_t kFeatureSize = 1;
constexpr std::uint32_t kReceiveQueue = 0;
constexpr std::uint32_t kTransmitQueue = 1;
constexpr std::uint16_t kReceiveSize = 8;
constexpr std::uint16_t kTransmitSize = 32;
constexpr std::size_t kReceiveBuffer = 256;
// In the DMA memory: both queues in the first page, receive buffers in the second.
constexpr std::size_t kTransmitOffset = 1024;
constexpr std::size_t kBuffersOffset = 4096;
static_assert(VirtioQueue::memory_size(kReceiveSize) <= kTransmitOffset);
static_assert(kTransmitOffset + VirtioQueue::memory_size(kTransmitSize) <= kBuffersOffset);
constexpr std::size_t kDmaSize = kBuffersOffset + kReceiveSize * kReceiveBuffer;

class Console {
 public:
  Console(driver::Driver& driver, driver::VirtioTransport& transport, const guest::Resource& dma,
          const guest::Resource& shared)
      : driver_(&driver),
        transport_(&transport),
        receive_(driver::bytes_of(dma), dma.physical, kReceiveSize),
        transmit_(driver::bytes_of(dma).subspan(kTransmitOffset), dma.physical + kTransmitOffset,
                  kTransmitSize),
        buffers_(driver::bytes_of(dma).subspan(kBuffersOffset)),
        buffers_physical_(dma.physical + kBuffersOffset),
        output_physical_(shared.physical + guest::kConsoleOutputOffset),
        output_(header(shared).output,
                ring(shared, guest::kConsoleOutputOffset, guest::kConsoleOutputSize)),
        input_(header(shared).input,
               ring(shared, guest::kConsoleInputOffset, guest::kConsoleInputSize)),
        window_(reinterpret_cast<guest::ConsoleWindow*>(shared.address +
                                                        guest::kConsoleWindowOffset)) {}

  void start() {
    transport_->add_queue(kReceiveQueue, receive_);
    transport_->add_queue(kTransmitQueue, transmit_);
    transport_->finish();
    for (std::uint16_t i = 0; i < kReceiveSize; ++i) {
      offer(i);
    }
    transport_->notify(kReceiveQueue, receive_);
    read_window();
  }

  void run() {
    driver_->serve_signals([this](std::uint64_t signals) { work(signals); });
  }

 private:
  static guest::ConsoleShared& header(const guest::Resource& shared) {
    return *reinterpret_cast<guest::ConsoleShared*>(shared.address);
  }
  static std::span<std::byte> ring(const guest::Resource& shared, std::size_t offset,
                                   std::size_t size) {
    return driver::bytes_of(shared).subspan(offset, size);
  }

  void work(std::uint64_t signals) {
    if ((signals & driver::kInterruptSignal) != 0) {
      transport_->acknowledge_device();
      read_window();
    }
    draining_ |= (signals & driver::kDrainSignal) != 0;
    do {
      pump_input();
    } while (pending_.empty() && !receive_.broken() && !receive_.enable_interrupt());
    do {
      pump_output();
    } while (!sleep_on_output());
    if (receive_.broken() || transmit_.broken()) {
      driver_->fail("the device used a buffer that it was not given");
    }
    if ((signals & driver::kInterruptSignal) != 0) {
      transport_->acknowledge_line();
    }
    if (draining_ && in_flight_ == 0) {
      draining_ = false;
      driver_->signal_supervisor();
    }
  }

  // Only a console that is a terminal offers its size. Its change comes as an interrupt, like all
  // else: asking for the cause costs as much as reading it.
  void read_window() {
    if (!transport_->has(kFeatureSize)) {
      return;
    }
    const std::uint32_t size = transport_->read_configuration(0);
    if (window_->exchange(size, std::memory_order_relaxed) != size) {
      driver_->signal_client();
    }
  }

  void offer(std::uint16_t index) {
    const VirtioQueue::Buffer buffer{buffers_physical_ + index * kReceiveBuffer, kReceiveBuffer,
                                     true};
    receive_.add({&buffer, 1}, index);
  }

  // Moves received bytes into the ring. A full ring stops this; the buffers then stay here, and the
  // host keeps what it has.
  void pump_input() {
    bool moved = false;
    for (;;) {
      if (pending_.empty()) {
        const auto used = receive_.take();
        if (!used) {
          break;
        }
        pending_ = buffers_.subspan(used->cookie * kReceiveBuffer, used->length);
        pending_buffer_ = used->cookie;
      }
      const std::size_t count = input_.write(pending_);
      moved |= count != 0;
      pending_ = pending_.subspan(count);
      if (!pending_.empty()) {
        if (input_.wait_for_room()) {
          break;  // the client signals when it has read
        }
        continue;
      }
      offer(pending_buffer_);
    }
    if (moved) {
      transport_->notify(kReceiveQueue, receive_);
      if (input_.consumer_waits()) {
        driver_->signal_client();
      }
    }
  }

  // Frees what the device has sent, gives it what the client has written.
  void pump_output() {
    while (const auto used = transmit_.take()) {
      chunks_[used->cookie].done = true;
    }
    std::size_t sent = 0;
    while (first_ != last_ && chunks_[first_ % kTransmitSize].done) {
      sent += chunks_[first_++ % kTransmitSize].size;
    }
    if (sent != 0) {
      in_flight_ -= sent;
      output_.consume(sent);
      if (output_.producer_waits()) {
        driver_->signal_client();
      }
    }
    while (last_ - first_ < kTransmitSize && output_.available() > in_flight_) {
      const std::size_t at = output_.offset(in_flight_);
      const std::size_t size =
          std::min<std::size_t>(output_.available() - in_flight_, guest::kConsoleOutputSize - at);
      const auto cookie = static_cast<std::uint16_t>(last_ % kTransmitSize);
      const VirtioQueue::Buffer buffer{output_physical_ + at, static_cast<std::uint32_t>(size),
                                       false};
      if (!transmit_.add({&buffer, 1}, cookie)) {
        break;
      }
      chunks_[cookie] = {size, false};
      ++last_;
      in_flight_ += size;
    }
    transport_->notify(kTransmitQueue, transmit_);
  }

  // An interrupt for sent bytes is worth its cost only when someone waits for the room: a ring that
  // is more than half full, a table of chunks that is full, or a machine about to go off.
  // False: there is something to do at once.
  bool sleep_on_output() {
    const bool wants_interrupt =
        transmit_.outstanding() != 0 && (draining_ || in_flight_ > guest::kConsoleOutputSize / 2 ||
                                         last_ - first_ == kTransmitSize);
    if (!wants_interrupt) {
      transmit_.disable_interrupt();
    } else if (!transmit_.enable_interrupt(transmit_.outstanding())) {
      return false;
    }
    return last_ - first_ == kTransmitSize || output_.wait_for_bytes(in_flight_) ||
           transmit_.broken();
  }

  struct Chunk {
    std::size_t size;
    bool done;
  };

  driver::Driver* driver_;
  driver::VirtioTransport* transport_;
  VirtioQueue receive_;
  VirtioQueue transmit_;
  std::span<std::byte> buffers_;
  std::uint64_t buffers_physical_;
  std::uint64_t output_physical_;
  guest::ByteRingConsumer output_;
  guest::ByteRingProducer input_;
  guest::ConsoleWindow* window_;
  std::span<const std::byte> pending_;  // received, not yet in the ring
  std::uint16_t pending_buffer_ = 0;
  std::size_t in_flight_ = 0;  // bytes that the device has
  std::uint32_t first_ = 0;    // chunks [first_, last_) are with the device, in order
  std::uint32_t last_ = 0;
  std::array<Chunk, kTransmitSize> chunks_{};
  bool draining_ = false;
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  driver::VirtioTransport transport(driver);
  const guest::Resource& dma = driver.need(guest::Role::kDmaMemory, "it was given no DMA memory");
  const guest::Resource& shared =
      driver.need(guest::Role::kSharedMemory, "it was given no memory to share with its client");
  if (dma.size < kDmaSize || shared.size < guest::kConsoleSharedSize) {
    driver.fail("the memory that it was given is too small");
  }
  transport.begin(kDeviceId, kFeatureSize);
  // What an earlier run of this driver left; the device is reset and does not look.
  std::memset(driver::bytes_of(dma).data(), 0, kBuffersOffset);
  Console console(driver, transport, dma, shared);
  console.start();
  driver.add_property("event-index", transport.has(driver::kFeatureEventIndex) ? 1 : 0);
  driver.running();
  console.run();
}
