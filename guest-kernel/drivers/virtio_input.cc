// Driver of a virtio input device (virtio 1.2, section 5.8). It leaves the device alone until its
// client asks for it: most programs never look at /dev/input.

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/drivers/virtio_transport.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/input_protocol.h"
#include "guest-kernel/lib/program.h"

namespace {

using driver::VirtioQueue;
using guest::DeviceStatus;

constexpr std::uint32_t kDeviceId = 18;
constexpr std::uint32_t kEventQueue = 0;
constexpr std::uint16_t kQueueSize = 64;

// In the DMA memory: the queue, then a buffer for each of its descriptors.
constexpr std::size_t kBuffersOffset = 2048;
constexpr std::size_t kDmaSize = 4096;
static_assert(VirtioQueue::memory_size(kQueueSize) <= kBuffersOffset);

// struct virtio_input_event
struct Event {
  std::uint16_t type;
  std::uint16_t code;
  std::int32_t value;
};
static_assert(kBuffersOffset + kQueueSize * sizeof(Event) <= kDmaSize);

// The configuration space (virtio 1.2, 5.8.4).
enum Select : std::uint8_t {
  kName = 0x01,
  kSerial = 0x02,
  kIdentity = 0x03,
  kProperties = 0x10,
  kEventBits = 0x11,
  kAxis = 0x12,
};
constexpr std::uint32_t kSelectOffset = 0;
constexpr std::uint32_t kSubselectOffset = 1;
constexpr std::uint32_t kSizeOffset = 2;
constexpr std::uint32_t kAnswerOffset = 8;
constexpr std::size_t kLongestAnswer = 128;

class Input {
 public:
  Input(driver::Driver& driver, driver::VirtioTransport& transport, const guest::Resource& dma,
        const guest::Resource& shared)
      : driver_(&driver),
        transport_(&transport),
        dma_(driver::bytes_of(dma)),
        dma_physical_(dma.physical),
        shared_(reinterpret_cast<guest::InputShared*>(shared.address)),
        queue_(dma_, dma_physical_, kQueueSize),
        events_(shared_->events, driver::bytes_of(shared).subspan(guest::kInputEventsOffset,
                                                                  guest::kInputEventsSize)) {}

  void run() {
    if (shared_->is_wanted.load(std::memory_order_relaxed) != 0) {
      lost_marks_ = kLostMarks.size();
      start();
    }
    for (;;) {
      const guest::Received received = driver_->receive();
      if (received.is_notification()) {
        work(received.signals());
      } else {
        start();
        guest::Message answer;
        answer[0] = static_cast<std::uint64_t>(DeviceStatus::kOk);
        driver_->reply(received.token, answer);
      }
    }
  }

 private:
  void start() {
    if (started_) {
      return;
    }
    started_ = true;
    shared_->is_wanted.store(1, std::memory_order_relaxed);
    transport_->begin(kDeviceId);
    describe(shared_->description);
    transport_->add_queue(kEventQueue, queue_);
    transport_->finish();
    for (std::uint16_t index = 0; index < kQueueSize; ++index) {
      offer(index);
    }
    transport_->notify(kEventQueue, queue_);
    work(driver::kInterruptSignal);
  }

  // The device's answer to a question; none where it is longer than it may be.
  std::span<const std::byte> ask(Select select, std::uint8_t subselect = 0) {
    transport_->write_configuration8(kSelectOffset, select);
    transport_->write_configuration8(kSubselectOffset, subselect);
    const std::size_t size = transport_->read_configuration8(kSizeOffset);
    if (size > kLongestAnswer) {
      return {};
    }
    for (std::size_t done = 0; done < size; done += 4) {
      const std::uint32_t word =
          transport_->read_configuration(static_cast<std::uint32_t>(kAnswerOffset + done));
      std::memcpy(answer_.data() + done, &word, sizeof word);
    }
    return std::span(answer_).first(size);
  }

  // As much of the answer as fits; the rest of `to` becomes zero.
  void ask_for(std::span<std::byte> to, Select select, std::uint8_t subselect = 0) {
    const auto answer = ask(select, subselect);
    std::ranges::fill(to, std::byte{0});
    std::memcpy(to.data(), answer.data(), std::min(answer.size(), to.size()));
  }

  void describe(guest::InputDescription& description) {
    const auto bytes_of = [](auto& value) { return std::as_writable_bytes(std::span(&value, 1)); };
    ask_for(bytes_of(description.name).first(kLongestAnswer), kName);
    ask_for(bytes_of(description.serial).first(kLongestAnswer), kSerial);
    std::array<std::uint16_t, 4> identity{};
    ask_for(bytes_of(identity), kIdentity);
    description.bus = identity[0];
    description.vendor = identity[1];
    description.product = identity[2];
    description.version = identity[3];
    ask_for(bytes_of(description.properties), kProperties);
    // Type 0, synchronization, is of every device.
    for (std::uint8_t type = 1; type <= kLastType; ++type) {
      ask_for(bytes_of(description.codes[type]), kEventBits, type);
    }
    const auto& axes = description.codes[kAxisType];
    for (std::uint8_t axis = 0; axis < guest::kInputAxes; ++axis) {
      if ((axes[axis / 8u] >> axis % 8 & 1) != 0) {
        ask_for(bytes_of(description.axes[axis]), kAxis, axis);
      }
    }
  }

  void offer(std::uint16_t index) {
    const VirtioQueue::Buffer buffer{dma_physical_ + kBuffersOffset + index * sizeof(Event),
                                     sizeof(Event), true};
    queue_.add({&buffer, 1}, index);
  }

  void work(std::uint64_t signals) {
    if (!started_) {
      return;
    }
    if ((signals & driver::kInterruptSignal) != 0) {
      transport_->acknowledge_device();
    }
    do {
      take_events();
    } while (!sleep());
    if (queue_.broken()) {
      driver_->fail("the device used a buffer that it was not given");
    }
    if ((signals & driver::kInterruptSignal) != 0) {
      transport_->acknowledge_line();
    }
  }

  // Events that the client has no room for stay with the device.
  void take_events() {
    const std::uint64_t tsc = guest::read_tsc();
    bool taken = false;
    while (lost_marks_ != 0 && events_.room() >= sizeof(guest::InputRecord)) {
      const guest::InputRecord record{tsc, 0, kLostMarks[kLostMarks.size() - lost_marks_--], 0};
      events_.write(std::as_bytes(std::span(&record, 1)));
      taken = true;
    }
    while (events_.room() >= sizeof(guest::InputRecord)) {
      const auto used = queue_.take();
      if (!used) {
        break;
      }
      Event event{};
      if (used->length == sizeof event) {
        std::memcpy(&event, dma_.data() + kBuffersOffset + used->cookie * sizeof event,
                    sizeof event);
        const guest::InputRecord record{tsc, event.type, event.code, event.value};
        events_.write(std::as_bytes(std::span(&record, 1)));
      }
      offer(used->cookie);
      taken = true;
    }
    if (taken) {
      transport_->notify(kEventQueue, queue_);
      if (events_.consumer_waits()) {
        driver_->signal_client();
      }
    }
  }

  // Asks for an interrupt, or for room. False: there is something to do at once.
  bool sleep() {
    if (queue_.broken()) {
      return true;
    }
    if (events_.room() < sizeof(guest::InputRecord)) {
      queue_.disable_interrupt();
      return events_.wait_for_room(sizeof(guest::InputRecord));
    }
    return queue_.enable_interrupt();
  }

  static constexpr std::uint8_t kLastType = 0x05;  // EV_SW; others have no codes of our devices
  static constexpr std::uint8_t kAxisType = 0x03;  // EV_ABS
  // That events were lost, as a report: SYN_DROPPED, SYN_REPORT.
  static constexpr std::array<std::uint16_t, 2> kLostMarks = {3, 0};

  driver::Driver* driver_;
  driver::VirtioTransport* transport_;
  std::span<std::byte> dma_;
  std::uint64_t dma_physical_;
  guest::InputShared* shared_;
  VirtioQueue queue_;
  guest::ByteRingProducer events_;
  std::array<std::byte, kLongestAnswer> answer_{};
  bool started_ = false;
  // Of kLostMarks, those that the client is to be told: an earlier run of this driver was in use.
  std::size_t lost_marks_ = 0;
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  driver::VirtioTransport transport(driver);
  const guest::Resource& dma = driver.need(guest::Role::kDmaMemory, "it was given no DMA memory");
  const guest::Resource& shared =
      driver.need(guest::Role::kSharedMemory, "it was given no memory to share with its client");
  if (dma.size < kDmaSize || shared.size < guest::kInputSharedSize) {
    driver.fail("the memory that it was given is too small");
  }
  // What an earlier run of this driver left.
  std::memset(driver::bytes_of(dma).data(), 0, kBuffersOffset);
  Input input(driver, transport, dma, shared);
  driver.running();
  input.run();
}
