#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "device-model/machine_layout.h"
#include "device-model/virtio/virtio_bus.h"
#include "tests/vmm/driver_queue.h"

namespace ensemble::device {

// The bytes of a fuzzer's input, one after the other; zeroes at the end.
class FuzzInput {
 public:
  explicit FuzzInput(std::span<const std::uint8_t> data) : data_(data) {}
  bool empty() const { return data_.empty(); }
  template <typename T>
  T take() {
    T value{};
    const std::size_t size = std::min(sizeof(T), data_.size());
    if (size > 0) {
      std::memcpy(&value, data_.data(), size);
    }
    data_ = data_.subspan(size);
    return value;
  }
  std::span<const std::uint8_t> take_bytes(std::size_t size) {
    const auto bytes = data_.first(std::min(size, data_.size()));
    data_ = data_.subspan(bytes.size());
    return bytes;
  }

 private:
  std::span<const std::uint8_t> data_;
};

// A machine without processors and with one virtio device, and a driver of it that does what a
// fuzzer's input says: right and wrong things with its registers, rings and buffers.
class HostileDriver {
 public:
  static constexpr std::uint64_t kMemory = 16 << 20;
  static constexpr std::uint64_t kBuffers = 0x800000;
  static constexpr std::uint16_t kQueueSize = 16;

  // `features` are those of the device that the driver may take, beside the common ones.
  explicit HostileDriver(std::uint64_t features) : features_(features) {}

  void attach(std::unique_ptr<VirtioDevice> device) {
    const std::uint16_t count = static_cast<std::uint16_t>(device->identity().queue_sizes.size());
    bus_.attach(std::move(device)).value();
    for (std::uint16_t i = 0; i < count; ++i) {
      queues_.emplace_back(memory_, kRings + i * kRingStride, kQueueSize);
    }
    start(features_);
  }

  vmm::GuestMemory& memory() { return memory_; }
  vmm::EventLoop& loop() { return *loop_; }
  vmm::DriverQueue& queue(std::uint16_t index) { return queues_[index]; }

  void step(FuzzInput& input) {
    const auto what = input.take<std::uint8_t>();
    const auto index = static_cast<std::uint16_t>(input.take<std::uint8_t>() % queues_.size());
    vmm::DriverQueue& queue = queues_[index];
    switch (what % 7) {
      case 0:
        offer(queue, input);
        break;
      case 1:
        queue.set_descriptor(input.take<std::uint8_t>() % kQueueSize,
                             input.take<vmm::DriverQueue::Descriptor>());
        break;
      case 2:
        queue.offer(input.take<std::uint8_t>());
        break;
      case 3: {
        const auto bytes = input.take_bytes(input.take<std::uint8_t>());
        memory_.write(kBuffers + input.take<std::uint16_t>(), std::as_bytes(bytes)).value();
        break;
      }
      case 4:
        notify(index);
        break;
      case 5:
        write(0x100 + input.take<std::uint8_t>() % 64, input.take<std::uint32_t>());
        break;
      case 6:
        start(features_ & input.take<std::uint8_t>());
        break;
    }
  }

  void notify(std::uint16_t queue) {
    write(0x50, queue);
    run();
  }
  void run() {
    while (loop_->run_once(std::chrono::milliseconds(0)).value() > 0) {
    }
  }

 private:
  static constexpr std::uint64_t kRings = 0x200000;
  static constexpr std::uint64_t kRingStride = 0x100000;

  void write(std::uint64_t offset, std::uint32_t value) {
    registers_.write(kVirtioAddress + offset, std::as_bytes(std::span(&value, 1)));
  }

  void start(std::uint64_t features) {
    features |= feature_mask(kFeatureVersion1) | feature_mask(kFeatureIndirectDescriptors);
    write(0x70, 0);
    write(0x70, 3);
    for (std::uint32_t half : {0, 1}) {
      write(0x24, half);
      write(0x20, static_cast<std::uint32_t>(features >> (32 * half)));
    }
    write(0x70, 3 | 8);
    for (std::uint32_t i = 0; i < queues_.size(); ++i) {
      queues_[i] = vmm::DriverQueue(memory_, kRings + i * kRingStride, kQueueSize);
      queues_[i].set_available_index(0);
      memory_.store<std::uint32_t>(queues_[i].addresses().used, 0).value();
      write(0x30, i);
      write(0x38, kQueueSize);
      const std::uint64_t parts[] = {queues_[i].addresses().descriptors,
                                     queues_[i].addresses().available, queues_[i].addresses().used};
      for (std::uint64_t part = 0; part < 3; ++part) {
        write(0x80 + 0x10 * part, static_cast<std::uint32_t>(parts[part]));
      }
      write(0x44, 1);
    }
    write(0x70, 3 | 8 | 4);
  }

  static void offer(vmm::DriverQueue& queue, FuzzInput& input) {
    const auto shape = input.take<std::uint8_t>();
    std::vector<vmm::DriverQueue::Buffer> buffers;
    for (unsigned count = 1 + shape % 4; count > 0; --count) {
      buffers.push_back(
          {kBuffers + input.take<std::uint16_t>(), input.take<std::uint16_t>(), (shape & 4) != 0});
    }
    queue.offer(queue.write_chain(buffers));
  }

  const std::uint64_t features_;
  std::unique_ptr<vmm::EventLoop> loop_ = vmm::EventLoop::create().value();
  vmm::GuestMemory memory_ = vmm::GuestMemory::create(kMemory).value();
  vmm::Bus registers_{"mmio", loop_->device_lock()};
  VirtioBus bus_{VirtioBus::Host{
      .memory = memory_,
      .registers = registers_,
      .doorbells = nullptr,
      .loop = *loop_,
      .make_interrupt = [](std::uint32_t) -> Result<std::unique_ptr<vmm::InterruptLine>> {
        return std::make_unique<vmm::CountingInterruptLine>();
      }}};
  std::vector<vmm::DriverQueue> queues_;
};

}  // namespace ensemble::device
