#pragma once

#include <cstdint>

#include "guest-kernel/drivers/driver.h"
#include "guest-kernel/drivers/virtio_queue.h"

namespace driver {

// Feature bits (virtio 1.2, section 6).
inline constexpr std::uint64_t kFeatureEventIndex = std::uint64_t{1} << 29;
inline constexpr std::uint64_t kFeatureVersion1 = std::uint64_t{1} << 32;

// Registers of a virtio device (virtio 1.2, section 4.2, version 2). Each access may cost tens of
// microseconds, so they are touched at start-up only; later there is the doorbell, and on a
// level-triggered line the interrupt registers.
class VirtioTransport {
 public:
  explicit VirtioTransport(Driver& driver);

  // Resets the device and negotiates version 1, the event index, and those of `wanted` that the
  // device offers. Fails the driver if it is not device `id` or refuses.
  void begin(std::uint32_t id, std::uint64_t wanted = 0);
  bool has(std::uint64_t feature) const { return (features_ & feature) == feature; }
  std::uint32_t read_configuration(std::uint32_t offset) const;
  std::uint8_t read_configuration8(std::uint32_t offset) const;
  void write_configuration8(std::uint32_t offset, std::uint8_t value) const;
  // Hands a queue to the device.
  void add_queue(std::uint32_t index, VirtioQueue& queue);
  // The device may work from now on.
  void finish();

  // Rings the doorbell if the device asked for it.
  void notify(std::uint32_t index, VirtioQueue& queue) const {
    if (queue.needs_notification()) {
      write(kQueueNotify, index);
    }
  }
  // After an interrupt signal, before looking at the queues.
  void acknowledge_device() const {
    if (level_) {
      write(kInterruptAcknowledge, read(kInterruptStatus));
    }
  }
  // After looking at the queues: the line may fire again.
  void acknowledge_line() const {
    if (level_) {
      driver_->acknowledge_interrupt();
    }
  }

 private:
  enum Register : std::uint32_t {
    kVersion = 0x004,
    kDeviceId = 0x008,
    kDeviceFeatures = 0x010,
    kDeviceFeaturesSelect = 0x014,
    kDriverFeatures = 0x020,
    kDriverFeaturesSelect = 0x024,
    kQueueSelect = 0x030,
    kQueueSizeMaximum = 0x034,
    kQueueSize = 0x038,
    kQueueReady = 0x044,
    kQueueNotify = 0x050,
    kInterruptStatus = 0x060,
    kInterruptAcknowledge = 0x064,
    kStatus = 0x070,
    kQueueDescriptors = 0x080,
    kQueueDriver = 0x090,
    kQueueDevice = 0x0a0,
    kConfiguration = 0x100,
  };

  std::uint32_t read(std::uint32_t offset) const {
    return *reinterpret_cast<const volatile std::uint32_t*>(registers_ + offset);
  }
  void write(std::uint32_t offset, std::uint32_t value) const {
    *reinterpret_cast<volatile std::uint32_t*>(registers_ + offset) = value;
  }
  void write64(std::uint32_t offset, std::uint64_t value) const {
    write(offset, static_cast<std::uint32_t>(value));
    write(offset + 4, static_cast<std::uint32_t>(value >> 32));
  }

  Driver* driver_;
  std::uint64_t registers_;
  bool level_;
  std::uint64_t features_ = 0;
};

}  // namespace driver
