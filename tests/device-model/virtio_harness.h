#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "device-model/machine_layout.h"
#include "device-model/virtio/virtio_bus.h"
#include "device-model/virtio/virtio_mmio.h"
#include "tests/vmm/driver_queue.h"
#include "vmm/bus.h"
#include "vmm/event_loop.h"
#include "vmm/guest_memory.h"
#include "vmm/interrupt_line.h"

namespace ensemble::device {

// A machine without processors: real memory, register bus and event loop, with one virtio device,
// and the driver's side of its registers and queues.
class VirtioHarness {
 public:
  static constexpr std::uint64_t kMemory = 16 << 20;
  static constexpr std::uint64_t kRings = 0x200000;
  static constexpr std::uint64_t kData = 0x800000;
  static constexpr std::uint16_t kQueueSize = 16;

  // Registers.
  static constexpr std::uint64_t kDeviceFeatures = 0x10, kDeviceFeaturesSelect = 0x14;
  static constexpr std::uint64_t kDriverFeatures = 0x20, kDriverFeaturesSelect = 0x24;
  static constexpr std::uint64_t kQueueSelect = 0x30, kQueueMaximum = 0x34, kQueueLength = 0x38;
  static constexpr std::uint64_t kQueueReady = 0x44, kQueueNotify = 0x50;
  static constexpr std::uint64_t kInterruptStatus = 0x60, kInterruptAcknowledge = 0x64;
  static constexpr std::uint64_t kStatus = 0x70, kGeneration = 0xFC, kConfiguration = 0x100;
  // Status bits.
  static constexpr std::uint32_t kAcknowledged = 3, kFeaturesOk = 8, kDriverOk = 4,
                                 kNeedsReset = 64;

  static constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kEventIndex = 1 << 29;
  static constexpr std::uint64_t kIndirect = 1 << 28;

  VirtioHarness() = default;
  explicit VirtioHarness(std::unique_ptr<VirtioDevice> device) { attach(std::move(device)); }

  void attach(std::unique_ptr<VirtioDevice> device) {
    device_ = bus_->attach(std::move(device)).value();
    for (std::uint16_t i = 0; i < device_->device().queue_count(); ++i) {
      queues_.emplace_back(memory_, kRings + (std::uint64_t{i} << 20), kQueueSize);
    }
  }

  std::uint32_t read(std::uint64_t offset) {
    std::uint32_t value = 0;
    registers_.read(kVirtioAddress + offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write(std::uint64_t offset, std::uint32_t value) {
    registers_.write(kVirtioAddress + offset, std::as_bytes(std::span(&value, 1)));
  }

  std::uint64_t device_features() {
    write(kDeviceFeaturesSelect, 1);
    const std::uint64_t high = read(kDeviceFeatures);
    write(kDeviceFeaturesSelect, 0);
    return high << 32 | read(kDeviceFeatures);
  }

  // Up to FEATURES_OK.
  void negotiate(std::uint64_t features) {
    write(kStatus, 0);
    write(kStatus, kAcknowledged);
    for (std::uint32_t half : {0, 1}) {
      write(kDriverFeaturesSelect, half);
      write(kDriverFeatures, static_cast<std::uint32_t>(features >> (32 * half)));
    }
    write(kStatus, kAcknowledged | kFeaturesOk);
  }

  void set_up_queue(std::uint16_t index, std::uint32_t size,
                    const vmm::VirtqueueAddresses& addresses) {
    write(kQueueSelect, index);
    write(kQueueLength, size);
    const std::uint64_t parts[] = {addresses.descriptors, addresses.available, addresses.used};
    for (std::uint64_t part = 0; part < 3; ++part) {
      write(0x80 + 0x10 * part, static_cast<std::uint32_t>(parts[part]));
      write(0x84 + 0x10 * part, static_cast<std::uint32_t>(parts[part] >> 32));
    }
    write(kQueueReady, 1);
  }

  // The whole initialisation, with fresh rings.
  void start(std::uint64_t features = kVersion1) {
    negotiate(features);
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
      const std::vector<std::byte> zeroes(1 << 20);
      memory_.write(kRings + (std::uint64_t{i} << 20), zeroes).value();
      queues_[i] = vmm::DriverQueue(memory_, kRings + (std::uint64_t{i} << 20), kQueueSize);
      set_up_queue(i, kQueueSize, queues_[i].addresses());
    }
    write(kStatus, kAcknowledged | kFeaturesOk | kDriverOk);
  }

  // Notifies the device and lets it work.
  void notify(std::uint16_t queue) {
    write(kQueueNotify, queue);
    run();
  }

  // Runs the event loop until nothing is ready.
  void run() {
    while (loop_->run_once(std::chrono::milliseconds(0)).value() > 0) {
    }
  }

  // Runs the event loop until `queue` returns a chain, for 10 s at most.
  vmm::DriverQueue::Used wait_for_used(std::uint16_t queue) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      if (const auto used = queues_[queue].take_used()) {
        return *used;
      }
      loop_->run_once(std::chrono::milliseconds(10)).value();
    }
    ADD_FAILURE() << "no chain came back";
    return {};
  }

  bool needs_reset() { return (read(kStatus) & kNeedsReset) != 0; }
  std::string broken() const { return device_->broken() ? device_->broken()->message() : ""; }

  vmm::GuestMemory& memory() { return memory_; }
  vmm::EventLoop& loop() { return *loop_; }
  vmm::Bus& registers() { return registers_; }
  vmm::DriverQueue& queue(std::uint16_t index) { return queues_[index]; }
  VirtioMmio& device() { return *device_; }
  VirtioBus& bus() { return *bus_; }
  std::uint64_t interrupts() const { return interrupt_->count(); }

  std::string text(std::uint64_t address, std::size_t size) const {
    std::string text(size, '\0');
    memory_.read(address, std::as_writable_bytes(std::span(text))).value();
    return text;
  }
  void set_text(std::uint64_t address, const std::string& text) {
    memory_.write(address, std::as_bytes(std::span(text))).value();
  }

 private:
  std::unique_ptr<vmm::EventLoop> loop_ = vmm::EventLoop::create().value();
  vmm::GuestMemory memory_ = vmm::GuestMemory::create(kMemory).value();
  vmm::Bus registers_{"mmio", loop_->device_lock()};
  vmm::CountingInterruptLine* interrupt_ = nullptr;  // Of the device attached last.
  std::unique_ptr<VirtioBus> bus_ = std::make_unique<VirtioBus>(VirtioBus::Host{
      .memory = memory_,
      .registers = registers_,
      .doorbells = nullptr,
      .loop = *loop_,
      .make_interrupt = [this](std::uint32_t) -> Result<std::unique_ptr<vmm::InterruptLine>> {
        auto line = std::make_unique<vmm::CountingInterruptLine>();
        interrupt_ = line.get();
        return line;
      }});
  VirtioMmio* device_ = nullptr;
  std::vector<vmm::DriverQueue> queues_;
};

}  // namespace ensemble::device
