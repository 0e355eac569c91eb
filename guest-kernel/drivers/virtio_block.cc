// Driver of the virtio block device (virtio 1.2, section 5.2). A client's call becomes a request to
// the device; the call is answered when the device has done it. Data stays in the memory that the
// client shares.

#include <array>
#include <cstring>
#include <utility>

#include "guest-kernel/drivers/virtio_transport.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/program.h"

namespace {

using driver::VirtioQueue;
using guest::BlockRequest;
using guest::DeviceStatus;

constexpr std::uint32_t kDeviceId = 2;
constexpr std::uint64_t kFeatureReadOnly = 1u << 5;
constexpr std::uint64_t kFeatureFlush = 1u << 9;
constexpr std::uint64_t kFeatureDiscard = 1u << 13;

constexpr std::uint32_t kConfigurationCapacity = 0;
constexpr std::uint32_t kConfigurationDiscardSectors = 36;

constexpr std::uint16_t kQueueSize = 64;
constexpr std::size_t kRequests = 16;
constexpr std::size_t kHeadersOffset = 4096;
constexpr std::size_t kIdSize = 20;

// What the device reads and writes beside the data (virtio 1.2, 5.2.6).
struct Header {
  std::uint32_t type;
  std::uint32_t reserved;
  std::uint64_t sector;
};
struct DiscardSegment {
  std::uint64_t sector;
  std::uint32_t sectors;
  std::uint32_t flags;
};
struct Slot {
  Header header;
  DiscardSegment discard;
  volatile std::uint8_t status;
  std::uint8_t reserved[31];
};
static_assert(sizeof(Slot) == 64);
constexpr std::size_t kDmaSize = kHeadersOffset + kRequests * sizeof(Slot);

enum : std::uint32_t {
  kTypeIn = 0,
  kTypeOut = 1,
  kTypeFlush = 4,
  kTypeGetId = 8,
  kTypeDiscard = 11
};

class Block {
 public:
  Block(driver::Driver& driver, driver::VirtioTransport& transport, const guest::Resource& dma,
        const guest::Resource& shared)
      : driver_(&driver),
        transport_(&transport),
        queue_(driver::bytes_of(dma), dma.physical, kQueueSize),
        slots_(reinterpret_cast<Slot*>(dma.address + kHeadersOffset)),
        slots_physical_(dma.physical + kHeadersOffset),
        shared_physical_(shared.physical),
        shared_size_(shared.size) {}

  void start() {
    capacity_ = transport_->read_configuration(kConfigurationCapacity) |
                std::uint64_t{transport_->read_configuration(kConfigurationCapacity + 4)} << 32;
    read_only_ = transport_->has(kFeatureReadOnly);
    if (transport_->has(kFeatureDiscard)) {
      discard_limit_ = transport_->read_configuration(kConfigurationDiscardSectors);
    }
    transport_->add_queue(0, queue_);
    transport_->finish();
    driver_->add_property("capacity-sectors", capacity_);
    driver_->add_property("read-only", read_only_ ? 1 : 0);
    driver_->add_property("flush", transport_->has(kFeatureFlush) ? 1 : 0);
    driver_->add_property("discard", discard_limit_ != 0 ? 1 : 0);
  }

  void run() {
    for (;;) {
      const guest::Received received = driver_->receive();
      if (!received.is_notification()) {
        if (const auto refused = accept(received)) {
          driver_->reply(received.token, *refused);
        }
      }
      const bool interrupted =
          received.is_notification() && (received.signals() & driver::kInterruptSignal) != 0;
      if (interrupted) {
        transport_->acknowledge_device();
      }
      do {
        complete();
      } while (!queue_.enable_interrupt());
      transport_->notify(0, queue_);
      if (interrupted) {
        transport_->acknowledge_line();
      }
    }
  }

 private:
  static guest::Message status(DeviceStatus code) { return {{static_cast<std::uint64_t>(code)}}; }

  bool in_shared(std::uint64_t offset, std::uint64_t size) const {
    return offset <= shared_size_ && size <= shared_size_ - offset;
  }
  bool on_disk(std::uint64_t sector, std::uint64_t sectors) const {
    return sectors != 0 && sector <= capacity_ && sectors <= capacity_ - sector;
  }

  // Starts a request; or returns the answer, if it needs or gets none.
  std::optional<guest::Message> accept(const guest::Received& call) {
    const std::uint64_t sector = call.message[1];
    const std::uint64_t sectors = call.message[2];
    const std::uint64_t offset = call.message[3];
    switch (static_cast<BlockRequest>(call.message[0])) {
      case BlockRequest::kGeometry:
        return guest::Message{{0, capacity_, read_only_ ? 1u : 0u, shared_size_}};
      case BlockRequest::kRead:
      case BlockRequest::kWrite:
      case BlockRequest::kWriteAndFlush: {
        const bool write = call.message[0] != static_cast<std::uint64_t>(BlockRequest::kRead);
        const bool flush =
            call.message[0] == static_cast<std::uint64_t>(BlockRequest::kWriteAndFlush) &&
            transport_->has(kFeatureFlush);
        if (write && read_only_) {
          return status(DeviceStatus::kReadOnly);
        }
        if (!on_disk(sector, sectors) || sectors > shared_size_ / guest::kSectorSize ||
            !in_shared(offset, sectors * guest::kSectorSize)) {
          return status(DeviceStatus::kBadRequest);
        }
        return submit(call.token, write ? kTypeOut : kTypeIn, sector,
                      {shared_physical_ + offset,
                       static_cast<std::uint32_t>(sectors * guest::kSectorSize), !write},
                      flush);
      }
      case BlockRequest::kFlush:
        return transport_->has(kFeatureFlush) ? submit(call.token, kTypeFlush, 0, {})
                                              : status(DeviceStatus::kOk);
      case BlockRequest::kDiscard:
        return discard(call.token, sector, sectors);
      case BlockRequest::kGetId:
        return in_shared(offset, kIdSize)
                   ? submit(call.token, kTypeGetId, 0, {shared_physical_ + offset, kIdSize, true})
                   : status(DeviceStatus::kBadRequest);
    }
    return status(DeviceStatus::kBadRequest);
  }

  std::optional<guest::Message> discard(std::uint64_t token, std::uint64_t sector,
                                        std::uint64_t sectors) {
    if (read_only_) {
      return status(DeviceStatus::kReadOnly);
    }
    if (discard_limit_ == 0) {
      return status(DeviceStatus::kUnsupported);
    }
    if (!on_disk(sector, sectors) || sectors > discard_limit_) {
      return status(DeviceStatus::kBadRequest);
    }
    const std::size_t index = free_slot();
    if (index == kRequests) {
      return status(DeviceStatus::kBusy);
    }
    slots_[index].discard = {sector, static_cast<std::uint32_t>(sectors), 0};
    return submit(token, kTypeDiscard, 0,
                  {slots_physical_ + index * sizeof(Slot) + offsetof(Slot, discard),
                   sizeof(DiscardSegment), false});
  }

  std::size_t free_slot() const {
    std::size_t index = 0;
    while (index < kRequests && tokens_[index] != 0) {
      ++index;
    }
    return index;
  }

  // `data.length` 0: a request without data. Takes the slot that free_slot() names.
  // `flush`: a flush follows, and its answer is the call's.
  std::optional<guest::Message> submit(std::uint64_t token, std::uint32_t type,
                                       std::uint64_t sector, VirtioQueue::Buffer data,
                                       bool flush = false) {
    const std::size_t index = free_slot();
    if (index == kRequests) {
      return status(DeviceStatus::kBusy);
    }
    Slot& slot = slots_[index];
    slot.header = {type, 0, sector};
    slot.status = 0xff;
    const std::uint64_t physical = slots_physical_ + index * sizeof(Slot);
    std::array<VirtioQueue::Buffer, 3> chain{};
    std::size_t count = 0;
    chain[count++] = {physical, sizeof(Header), false};
    if (data.length != 0) {
      chain[count++] = data;
    }
    chain[count++] = {physical + offsetof(Slot, status), 1, true};
    if (!queue_.add(std::span(chain).first(count), static_cast<std::uint16_t>(index))) {
      return status(DeviceStatus::kBusy);
    }
    tokens_[index] = token;
    flush_follows_[index] = flush;
    return std::nullopt;
  }

  void complete() {
    while (const auto used = queue_.take()) {
      const std::uint8_t outcome = slots_[used->cookie].status;
      const DeviceStatus code = outcome == 0   ? DeviceStatus::kOk
                                : outcome == 2 ? DeviceStatus::kUnsupported
                                               : DeviceStatus::kDeviceError;
      // The status byte counts among what the device wrote.
      const std::uint64_t bytes = used->length == 0 ? 0 : used->length - 1u;
      const std::uint64_t token = std::exchange(tokens_[used->cookie], 0);
      std::optional<guest::Message> answer = {{{static_cast<std::uint64_t>(code), bytes}}};
      if (flush_follows_[used->cookie] && code == DeviceStatus::kOk) {
        answer = submit(token, kTypeFlush, 0, {});
      }
      if (answer) {
        driver_->reply(token, *answer);
      }
    }
    if (queue_.broken()) {
      driver_->fail("the device used a buffer that it was not given");
    }
  }

  driver::Driver* driver_;
  driver::VirtioTransport* transport_;
  VirtioQueue queue_;
  Slot* slots_;
  std::uint64_t slots_physical_;
  std::uint64_t shared_physical_;
  std::uint64_t shared_size_;
  std::uint64_t capacity_ = 0;
  std::uint64_t discard_limit_ = 0;  // sectors per request; 0: no discard
  bool read_only_ = false;
  std::array<std::uint64_t, kRequests> tokens_{};  // 0: the slot is free
  std::array<bool, kRequests> flush_follows_{};
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  driver::VirtioTransport transport(driver);
  const guest::Resource& dma = driver.need(guest::Role::kDmaMemory, "it was given no DMA memory");
  const guest::Resource& shared =
      driver.need(guest::Role::kSharedMemory, "it was given no memory to share with its client");
  if (dma.size < kDmaSize) {
    driver.fail("the memory that it was given is too small");
  }
  transport.begin(kDeviceId, kFeatureReadOnly | kFeatureFlush | kFeatureDiscard);
  std::memset(driver::bytes_of(dma).data(), 0, VirtioQueue::memory_size(kQueueSize));
  Block block(driver, transport, dma, shared);
  block.start();
  driver.running();
  block.run();
}
