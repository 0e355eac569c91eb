// Driver of the virtio entropy device (virtio 1.2, section 5.4). Keeps a few bytes in stock, so
// that most calls are answered at once.

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/drivers/virtio_transport.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/fixed_vector.h"
#include "guest-kernel/lib/program.h"

namespace {

using driver::VirtioQueue;
using guest::DeviceStatus;

constexpr std::uint32_t kDeviceId = 4;
constexpr std::uint16_t kQueueSize = 8;
constexpr std::size_t kBufferOffset = 4096;
constexpr std::size_t kStock = 256;
constexpr std::size_t kMaximumCallers = 8;

guest::Message failure(DeviceStatus status) {
  return {{static_cast<std::uint64_t>(status)}};
}

class Entropy {
 public:
  Entropy(driver::Driver& driver, driver::VirtioTransport& transport, const guest::Resource& dma)
      : driver_(&driver),
        transport_(&transport),
        queue_(driver::bytes_of(dma), dma.physical, kQueueSize),
        stock_(driver::bytes_of(dma).subspan(kBufferOffset, kStock)),
        stock_physical_(dma.physical + kBufferOffset) {}

  void start() {
    transport_->add_queue(0, queue_);
    transport_->finish();
    refill();
  }

  void run() {
    for (;;) {
      const guest::Received received = driver_->receive();
      if (!received.is_notification()) {
        accept(received);
      } else if ((received.signals() & driver::kInterruptSignal) != 0) {
        transport_->acknowledge_device();
        collect();
        transport_->acknowledge_line();
      }
      serve();
    }
  }

 private:
  struct Caller {
    std::uint64_t token;
    std::size_t wanted;
  };

  void accept(const guest::Received& call) {
    const std::uint64_t wanted = call.message[0];
    if (wanted == 0 || wanted > guest::kEntropyMaximum) {
      driver_->reply(call.token, failure(DeviceStatus::kBadRequest));
    } else if (waiting_ == callers_.size()) {
      driver_->reply(call.token, failure(DeviceStatus::kBusy));
    } else {
      callers_[waiting_++] = {call.token, wanted};
      collect();
    }
  }

  void refill() {
    const VirtioQueue::Buffer buffer{stock_physical_, kStock, true};
    asked_ = queue_.add({&buffer, 1}, 0);
    do {
      if (collect_one()) {
        return;
      }
    } while (!queue_.enable_interrupt());
    transport_->notify(0, queue_);
  }

  bool collect_one() {
    const auto used = queue_.take();
    if (queue_.broken()) {
      driver_->fail("the device used a buffer that it was not given");
    }
    if (!used) {
      return false;
    }
    asked_ = false;
    left_ = stock_.first(used->length);
    return true;
  }

  void collect() {
    if (asked_) {
      collect_one();
    }
  }

  void serve() {
    while (waiting_ != 0) {
      const Caller caller = callers_[0];
      if (left_.size() < caller.wanted) {
        if (!asked_) {
          refill();
          if (asked_) {
            return;
          }
          continue;
        }
        return;
      }
      guest::Message answer;
      std::memcpy(&answer.word[1], left_.data(), caller.wanted);
      // Nobody gets the same bytes again.
      std::memset(left_.data(), 0, caller.wanted);
      left_ = left_.subspan(caller.wanted);
      std::copy(callers_.begin() + 1, callers_.begin() + static_cast<std::ptrdiff_t>(waiting_),
                callers_.begin());
      --waiting_;
      driver_->reply(caller.token, answer);
    }
  }

  driver::Driver* driver_;
  driver::VirtioTransport* transport_;
  VirtioQueue queue_;
  std::span<std::byte> stock_;
  std::uint64_t stock_physical_;
  std::span<std::byte> left_;
  bool asked_ = false;
  std::array<Caller, kMaximumCallers> callers_{};
  std::size_t waiting_ = 0;
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  driver::VirtioTransport transport(driver);
  const guest::Resource& dma = driver.need(guest::Role::kDmaMemory, "it was given no DMA memory");
  if (dma.size < kBufferOffset + kStock) {
    driver.fail("the memory that it was given is too small");
  }
  transport.begin(kDeviceId);
  std::memset(driver::bytes_of(dma).data(), 0, VirtioQueue::memory_size(kQueueSize));
  Entropy entropy(driver, transport, dma);
  entropy.start();
  driver.running();
  entropy.run();
}
