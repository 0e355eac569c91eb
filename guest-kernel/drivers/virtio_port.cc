// Driver of a virtio console that has a port for a program (virtio 1.2, section 5.3, multiport):
// the first port but port 0. The device reads and writes the memory that the client sees; nothing
// is copied here.

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/drivers/virtio_transport.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/port_protocol.h"
#include "guest-kernel/lib/program.h"

namespace {

using driver::VirtioQueue;

constexpr std::uint32_t kDeviceId = 3;
constexpr std::uint64_t kFeatureMultiport = 2;
constexpr std::uint32_t kControlReceiveQueue = 2;
constexpr std::uint32_t kControlTransmitQueue = 3;
constexpr std::uint32_t kPort = 1;
// Of port 1 (virtio 1.2, 5.3.2).
constexpr std::uint32_t kReceiveQueue = 4;
constexpr std::uint32_t kTransmitQueue = 5;

// The most bytes that the device gets at once, so that room comes back before all is sent.
constexpr std::size_t kChunk = 0x1'0000;
constexpr std::uint16_t kControlSize = 8;
constexpr std::uint16_t kReceiveSize = guest::kPortInputBuffers;
constexpr std::uint16_t kTransmitSize = 32;
constexpr std::size_t kControlBuffer = 128;

// In the DMA memory: the queues in the first page, buffers of the control queues in the second.
constexpr std::size_t kControlTransmitOffset = 512;
constexpr std::size_t kReceiveOffset = 1024;
constexpr std::size_t kTransmitOffset = 2048;
constexpr std::size_t kControlInOffset = 4096;
constexpr std::size_t kControlOutOffset = kControlInOffset + kControlSize * kControlBuffer;
constexpr std::size_t kDmaSize = 2 * 4096;
static_assert(VirtioQueue::memory_size(kControlSize) <= 512);
static_assert(kReceiveOffset + VirtioQueue::memory_size(kReceiveSize) <= kTransmitOffset);
static_assert(kTransmitOffset + VirtioQueue::memory_size(kTransmitSize) <= kControlInOffset);
static_assert(kControlOutOffset + kControlSize * kControlBuffer <= kDmaSize);

enum Event : std::uint16_t {
  kDeviceReady = 0,
  kPortAdd = 1,
  kPortRemove = 2,
  kPortReady = 3,
  kPortOpen = 6,
};
struct ControlMessage {
  std::uint32_t port;
  std::uint16_t event;
  std::uint16_t value;
};

class Port {
 public:
  Port(driver::Driver& driver, driver::VirtioTransport& transport, const guest::Resource& dma,
       const guest::Resource& shared)
      : driver_(&driver),
        transport_(&transport),
        dma_(driver::bytes_of(dma)),
        dma_physical_(dma.physical),
        shared_physical_(shared.physical),
        shared_(reinterpret_cast<guest::PortShared*>(shared.address)),
        control_in_(dma_, dma_physical_, kControlSize),
        control_out_(dma_.subspan(kControlTransmitOffset), dma_physical_ + kControlTransmitOffset,
                     kControlSize),
        receive_(dma_.subspan(kReceiveOffset), dma_physical_ + kReceiveOffset, kReceiveSize),
        transmit_(dma_.subspan(kTransmitOffset), dma_physical_ + kTransmitOffset, kTransmitSize),
        output_(shared_->output, driver::bytes_of(shared).subspan(guest::kPortOutputOffset,
                                                                  guest::kPortOutputSize)) {}

  void start() {
    // What an earlier run of this driver left: buffers that it had offered are empty, and a
    // connection that it knew of has ended with the device's reset.
    filled_ = published_ = offered_ = shared_->filled.load(std::memory_order_relaxed);
    host_changes_ = shared_->host_open.load(std::memory_order_relaxed);
    set_host_open(false, filled_);
    transport_->add_queue(kControlReceiveQueue, control_in_);
    transport_->add_queue(kControlTransmitQueue, control_out_);
    transport_->add_queue(kReceiveQueue, receive_);
    transport_->add_queue(kTransmitQueue, transmit_);
    transport_->finish();
    for (std::uint16_t i = 0; i < kControlSize; ++i) {
      offer_control(i);
    }
    transport_->notify(kControlReceiveQueue, control_in_);
    send_control(0, kDeviceReady, 1);
  }

  void run() {
    driver_->serve_signals([this](std::uint64_t signals) { work(signals); });
  }

 private:
  void work(std::uint64_t signals) {
    if ((signals & driver::kInterruptSignal) != 0) {
      transport_->acknowledge_device();
    }
    do {
      pump();
    } while (!sleep());
    if (control_in_.broken() || control_out_.broken() || receive_.broken() || transmit_.broken()) {
      driver_->fail("the device used a buffer that it was not given");
    }
    tell_client();
    if ((signals & driver::kInterruptSignal) != 0) {
      transport_->acknowledge_line();
    }
    if ((signals & driver::kDrainSignal) != 0) {
      driver_->signal_supervisor();  // what a program had to say, it has waited for itself
    }
  }

  // The client's closing is told after the output that it wrote before.
  void pump() {
    take_control();
    publish_input();
    pump_output();
    follow_client();
  }

  // Asks for interrupts. False: there is something to do at once.
  bool sleep() {
    control_out_.disable_interrupt();
    shared_->driver_wait.store(receive_.outstanding() < kReceiveSize / 2 ? 1 : 0,
                               std::memory_order_seq_cst);
    const bool wants_sent =
        transmit_.outstanding() != 0 &&
        (in_flight_ > guest::kPortOutputSize / 2 || last_ - first_ == kTransmitSize);
    if (!wants_sent) {
      transmit_.disable_interrupt();
    } else if (!transmit_.enable_interrupt(
                   static_cast<std::uint16_t>((transmit_.outstanding() + 1) / 2))) {
      return false;
    }
    if (!receive_.broken() && !receive_.enable_interrupt()) {
      return false;
    }
    if (!control_in_.broken() && !control_in_.enable_interrupt()) {
      return false;
    }
    if (room_for_input() >= kReceiveSize / 2u && receive_.outstanding() < kReceiveSize / 2) {
      return false;
    }
    return last_ - first_ == kTransmitSize || output_.wait_for_bytes(in_flight_) ||
           transmit_.broken();
  }

  void tell_client() {
    if (client_needs_signal_) {
      client_needs_signal_ = false;
      driver_->signal_client();
    }
  }

  void offer_control(std::uint16_t index) {
    const VirtioQueue::Buffer buffer{dma_physical_ + kControlInOffset + index * kControlBuffer,
                                     kControlBuffer, true};
    control_in_.add({&buffer, 1}, index);
  }

  void send_control(std::uint32_t port, Event event, std::uint16_t value) {
    while (control_out_.take()) {
    }
    const ControlMessage message{port, event, value};
    const std::size_t offset = kControlOutOffset + next_control_ * kControlBuffer;
    const VirtioQueue::Buffer buffer{dma_physical_ + offset, sizeof message, false};
    std::memcpy(dma_.data() + offset, &message, sizeof message);
    if (!control_out_.add({&buffer, 1}, next_control_)) {
      driver_->fail("the device does not take what it is told");
    }
    next_control_ = static_cast<std::uint16_t>((next_control_ + 1) % kControlSize);
    transport_->notify(kControlTransmitQueue, control_out_);
  }

  // Input is looked at before the messages and told after them: the opening that it came with is
  // always among them.
  void take_control() {
    collect_input();
    std::array<ControlMessage, kControlSize> messages{};
    std::size_t count = 0;
    while (count < messages.size()) {
      const auto used = control_in_.take();
      if (!used) {
        break;
      }
      ControlMessage message{};
      std::memcpy(&message, dma_.data() + kControlInOffset + used->cookie * kControlBuffer,
                  sizeof message);
      offer_control(used->cookie);
      messages[count++] = used->length >= sizeof message ? message : ControlMessage{};
    }
    for (std::size_t i = 0; i < count; ++i) {
      // The device opens a connection after one that carried bytes only once the client has opened
      // the port anew. So where one follows here at once, what came is that one's.
      const bool followed = i + 1 < count && messages[i + 1].port == kPort &&
                            messages[i + 1].event == kPortOpen && messages[i + 1].value != 0;
      if (messages[i].port == kPort) {
        obey(messages[i], followed ? published_ : filled_);
      }
    }
    if (count != 0) {
      transport_->notify(kControlReceiveQueue, control_in_);
    }
  }

  // `end`: the buffers that came before the end of a connection, if it is that.
  void obey(const ControlMessage& message, std::uint32_t end) {
    if (message.event == kPortAdd && !has_port_) {
      has_port_ = true;
      send_control(kPort, kPortReady, 1);
    } else if (message.event == kPortRemove) {
      has_port_ = false;
      set_host_open(false, end);
    } else if (message.event == kPortOpen) {
      set_host_open(message.value != 0, end);
    }
  }

  void set_host_open(bool open, std::uint32_t end) {
    if (guest::is_open(host_changes_) == open) {
      return;
    }
    if (!open) {
      shared_->filled_at_close.store(end, std::memory_order_relaxed);
    }
    shared_->host_open.store(++host_changes_, std::memory_order_seq_cst);
    client_needs_signal_ = true;
  }

  // Buffers that the client has read and the device has not got back.
  std::uint32_t room_for_input() const {
    const std::uint32_t used = offered_ - shared_->emptied.load(std::memory_order_acquire);
    return used > kReceiveSize ? 0 : kReceiveSize - used;
  }

  void collect_input() {
    while (const auto used = receive_.take()) {
      // The device uses them in order; another order is as good as a broken queue.
      if (used->cookie != filled_ % kReceiveSize) {
        driver_->fail("the device used its buffers out of order");
      }
      shared_->sizes[used->cookie].store(used->length, std::memory_order_relaxed);
      ++filled_;
    }
  }

  // Tells the client of input, and gives the device buffers that the client has read.
  void publish_input() {
    if (filled_ != published_) {
      published_ = filled_;
      shared_->filled.store(filled_, std::memory_order_seq_cst);
      if (shared_->client_wait.load(std::memory_order_seq_cst) != 0 &&
          shared_->client_wait.exchange(0, std::memory_order_seq_cst) != 0) {
        client_needs_signal_ = true;
      }
    }
    bool offered = false;
    for (std::uint32_t room = room_for_input(); room != 0; --room) {
      const auto index = static_cast<std::uint16_t>(offered_ % kReceiveSize);
      const VirtioQueue::Buffer buffer{
          shared_physical_ + guest::kPortInputOffset + index * guest::kPortInputBufferSize,
          static_cast<std::uint32_t>(guest::kPortInputBufferSize), true};
      if (!receive_.add({&buffer, 1}, index)) {
        break;
      }
      ++offered_;
      offered = true;
    }
    if (offered) {
      transport_->notify(kReceiveQueue, receive_);
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
      client_needs_signal_ |= output_.producer_waits();
    }
    bool added = false;
    while (last_ - first_ < kTransmitSize && output_.available() > in_flight_) {
      const std::size_t at = output_.offset(in_flight_);
      const std::size_t size =
          std::min({output_.available() - in_flight_, guest::kPortOutputSize - at, kChunk});
      const auto cookie = static_cast<std::uint16_t>(last_ % kTransmitSize);
      const VirtioQueue::Buffer buffer{shared_physical_ + guest::kPortOutputOffset + at,
                                       static_cast<std::uint32_t>(size), false};
      if (!transmit_.add({&buffer, 1}, cookie)) {
        break;
      }
      chunks_[cookie] = {size, false};
      ++last_;
      in_flight_ += size;
      added = true;
    }
    if (added) {
      transport_->notify(kTransmitQueue, transmit_);
    }
  }

  // Tells the device when the client opens or closes its end; a client that has done both, twice.
  void follow_client() {
    const std::uint32_t changes = shared_->client_open.load(std::memory_order_seq_cst);
    if (!has_port_ || changes == client_changes_) {
      return;
    }
    const bool was_open = guest::is_open(client_changes_);
    client_changes_ = changes;
    if (was_open) {
      send_control(kPort, kPortOpen, 0);
    }
    if (guest::is_open(changes)) {
      send_control(kPort, kPortOpen, 1);
    }
  }

  struct Chunk {
    std::size_t size;
    bool done;
  };

  driver::Driver* driver_;
  driver::VirtioTransport* transport_;
  std::span<std::byte> dma_;
  std::uint64_t dma_physical_;
  std::uint64_t shared_physical_;
  guest::PortShared* shared_;
  VirtioQueue control_in_;
  VirtioQueue control_out_;
  VirtioQueue receive_;
  VirtioQueue transmit_;
  guest::ByteRingConsumer output_;
  std::uint16_t next_control_ = 0;
  bool has_port_ = false;
  bool client_needs_signal_ = false;
  std::uint32_t host_changes_ = 0;
  std::uint32_t client_changes_ = 0;
  std::uint32_t filled_ = 0;     // input buffers, counted as PortShared does
  std::uint32_t published_ = 0;  // of them, those that the client knows of
  std::uint32_t offered_ = 0;    // to the device: [filled_, offered_) are with it
  std::size_t in_flight_ = 0;    // bytes of output that the device has
  std::uint32_t first_ = 0;      // chunks [first_, last_) are with the device, in order
  std::uint32_t last_ = 0;
  std::array<Chunk, kTransmitSize> chunks_{};
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  driver::VirtioTransport transport(driver);
  const guest::Resource& dma = driver.need(guest::Role::kDmaMemory, "it was given no DMA memory");
  const guest::Resource& shared =
      driver.need(guest::Role::kSharedMemory, "it was given no memory to share with its client");
  if (dma.size < kDmaSize || shared.size < guest::kPortSharedSize) {
    driver.fail("the memory that it was given is too small");
  }
  transport.begin(kDeviceId, kFeatureMultiport);
  if (!transport.has(kFeatureMultiport)) {
    driver.fail("the device has no ports");
  }
  // What an earlier run of this driver left; the device is reset and does not look.
  std::memset(driver::bytes_of(dma).data(), 0, kControlInOffset);
  Port port(driver, transport, dma, shared);
  port.start();
  driver.add_property("event-index", transport.has(driver::kFeatureEventIndex) ? 1 : 0);
  driver.running();
  port.run();
}
