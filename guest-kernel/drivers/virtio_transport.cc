#include "guest-kernel/drivers/virtio_transport.h"

namespace driver {
namespace {

// Device status bits (virtio 1.2, section 2.1).
constexpr std::uint32_t kAcknowledge = 1;
constexpr std::uint32_t kDriver = 2;
constexpr std::uint32_t kDriverOk = 4;
constexpr std::uint32_t kFeaturesOk = 8;

constexpr std::size_t kLeastRegisters = 0x100;
constexpr int kResetPatience = 1000;

}  // namespace

VirtioTransport::VirtioTransport(Driver& driver) : driver_(&driver) {
  const guest::Resource& registers =
      driver.need(guest::Role::kRegisters, "it was given no registers");
  if (registers.size < kLeastRegisters) {
    driver.fail("its registers are smaller than 256 bytes");
  }
  registers_ = registers.address;
  level_ = driver.interrupt_is_level();
}

void VirtioTransport::begin(std::uint32_t id, std::uint64_t wanted) {
  if (read(kVersion) != 2) {
    driver_->fail("the device is not a virtio-mmio device of version 2");
  }
  if (read(kDeviceId) != id) {
    driver_->fail("the device has another virtio device ID than the manifest says");
  }
  write(kStatus, 0);
  for (int i = 0; read(kStatus) != 0; ++i) {
    if (i == kResetPatience) {
      driver_->fail("the device does not come out of reset");
    }
  }
  write(kStatus, kAcknowledge | kDriver);
  write(kDeviceFeaturesSelect, 1);
  std::uint64_t offered = std::uint64_t{read(kDeviceFeatures)} << 32;
  write(kDeviceFeaturesSelect, 0);
  offered |= read(kDeviceFeatures);
  features_ = offered & (wanted | kFeatureEventIndex | kFeatureVersion1);
  if (!has(kFeatureVersion1)) {
    driver_->fail("the device does not offer VIRTIO_F_VERSION_1");
  }
  write(kDriverFeaturesSelect, 1);
  write(kDriverFeatures, static_cast<std::uint32_t>(features_ >> 32));
  write(kDriverFeaturesSelect, 0);
  write(kDriverFeatures, static_cast<std::uint32_t>(features_));
  write(kStatus, kAcknowledge | kDriver | kFeaturesOk);
  if ((read(kStatus) & kFeaturesOk) == 0) {
    driver_->fail("the device refuses the features that it offered");
  }
}

std::uint32_t VirtioTransport::read_configuration(std::uint32_t offset) const {
  return read(kConfiguration + offset);
}

std::uint8_t VirtioTransport::read_configuration8(std::uint32_t offset) const {
  return *reinterpret_cast<const volatile std::uint8_t*>(registers_ + kConfiguration + offset);
}

void VirtioTransport::write_configuration8(std::uint32_t offset, std::uint8_t value) const {
  *reinterpret_cast<volatile std::uint8_t*>(registers_ + kConfiguration + offset) = value;
}

void VirtioTransport::add_queue(std::uint32_t index, VirtioQueue& queue) {
  write(kQueueSelect, index);
  if (read(kQueueSizeMaximum) < queue.size()) {
    driver_->fail("a queue of the device is missing or too small");
  }
  queue.use_event_index(has(kFeatureEventIndex));
  write(kQueueSize, queue.size());
  write64(kQueueDescriptors, queue.descriptors());
  write64(kQueueDriver, queue.driver_area());
  write64(kQueueDevice, queue.device_area());
  write(kQueueReady, 1);
}

void VirtioTransport::finish() {
  write(kStatus, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
}

}  // namespace driver
