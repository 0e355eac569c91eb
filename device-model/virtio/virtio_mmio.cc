#include "device-model/virtio/virtio_mmio.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

namespace ensemble::device {
namespace {

// Offsets of the registers (virtio 1.2, section 4.2.2).
enum Register : std::uint64_t {
  kMagicValue = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00C,
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
  kQueueDescriptorsLow = 0x080,
  kQueueDescriptorsHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0A0,
  kQueueDeviceHigh = 0x0A4,
  kSharedMemoryLengthLow = 0x0B0,
  kSharedMemoryBaseHigh = 0x0BC,
  kConfigurationGeneration = 0x0FC,
  kConfiguration = 0x100,
};

constexpr std::uint32_t kMagic = 0x74726976;   // "virt"
constexpr std::uint32_t kVendor = 0x534E4553;  // "SENS"

// Device status bits (section 2.1).
constexpr std::uint32_t kAcknowledge = 1;
constexpr std::uint32_t kDriver = 2;
constexpr std::uint32_t kDriverOk = 4;
constexpr std::uint32_t kFeaturesOk = 8;
constexpr std::uint32_t kNeedsReset = 64;
constexpr std::uint32_t kFailed = 128;
constexpr std::uint32_t kDriverBits = kAcknowledge | kDriver | kDriverOk | kFeaturesOk | kFailed;

// Interrupt causes.
constexpr std::uint32_t kUsedBuffer = 1;
constexpr std::uint32_t kConfigurationChange = 2;

constexpr unsigned kMostLoggedBreakages = 8;
constexpr std::uint64_t kLongestReason = 4096;  // Of a breakage, in saved state.

std::uint32_t half(std::uint64_t value, std::uint32_t select) {
  return select > 1 ? 0 : static_cast<std::uint32_t>(value >> (32 * select));
}

void set_half(std::uint64_t& value, unsigned select, std::uint32_t part) {
  const unsigned shift = 32 * select;
  value = (value & ~(std::uint64_t{0xFFFF'FFFF} << shift)) | std::uint64_t{part} << shift;
}

}  // namespace

VirtioMmio::VirtioMmio(std::string name, std::unique_ptr<VirtioDevice> device,
                       const vmm::GuestMemory& memory, vmm::EventLoop& loop,
                       std::unique_ptr<vmm::InterruptLine> interrupt)
    : name_(std::move(name)),
      device_(std::move(device)),
      loop_(loop),
      interrupt_(std::move(interrupt)) {
  device_->connect(memory, *this);
  registers_.queues.resize(device_->queue_count());
}

VirtioMmio::~VirtioMmio() {
  doorbells_.clear();
  reset();
}

Result<void> VirtioMmio::add_doorbells(vmm::DoorbellRegistry& registry, std::uint64_t address) {
  for (std::uint16_t queue = 0; queue < device_->queue_count(); ++queue) {
    auto doorbell =
        registry.add({.guest_address = address + kQueueNotify, .length = 4, .value = queue},
                     [this, queue] { process(queue); });
    if (!doorbell) {
      return std::unexpected(doorbell.error().with_context(name_));
    }
    doorbells_.push_back(*std::move(doorbell));
  }
  return {};
}

std::uint64_t VirtioMmio::offered_features() const {
  return device_->identity().features | feature_mask(kFeatureVersion1) |
         feature_mask(kFeatureEventIndex) | feature_mask(kFeatureIndirectDescriptors);
}

bool VirtioMmio::has_feature(unsigned bit) const {
  return (registers_.driver_features & feature_mask(bit)) != 0;
}

bool VirtioMmio::running() const {
  return (registers_.status & kDriverOk) != 0 && (registers_.status & kNeedsReset) == 0;
}

void VirtioMmio::notify_used() {
  interrupt(kUsedBuffer);
}

void VirtioMmio::notify_configuration() {
  ++configuration_generation_;
  if (running()) {
    interrupt(kConfigurationChange);
  }
}

void VirtioMmio::interrupt(std::uint32_t cause) {
  registers_.interrupt_status |= cause;
  interrupt_->trigger();
}

void VirtioMmio::mark_broken(const Error& reason) {
  if (broken_) {
    return;
  }
  broken_ = reason;
  if (breakages_ < kMostLoggedBreakages) {
    ++breakages_;
    spdlog::warn("{}: stopped until its driver resets it: {}", name_, reason.message());
  }
  const bool driver_listens = (registers_.status & kDriverOk) != 0;
  registers_.status |= kNeedsReset;
  if (driver_listens) {
    interrupt(kConfigurationChange);
  }
}

void VirtioMmio::schedule(std::uint16_t queue) {
  loop_.post([weak = std::weak_ptr(self_), queue] {
    if (const auto self = weak.lock()) {
      (*self)->process(queue);
    }
  });
}

void VirtioMmio::process(std::uint32_t queue) {
  if (!running() || queue >= device_->queue_count()) {
    return;
  }
  const auto index = static_cast<std::uint16_t>(queue);
  if (device_->queue(index).enabled()) {
    device_->queue_notified(index);
  }
}

void VirtioMmio::read(std::uint64_t offset, std::span<std::byte> data) {
  if (offset >= kConfiguration) {
    read_configuration(offset - kConfiguration, data);
    return;
  }
  // Registers are accessed whole; anything else is the driver's mistake and reads as zero.
  std::ranges::fill(data, std::byte{0});
  if (data.size() == 4 && offset % 4 == 0) {
    const std::uint32_t value = read_register(offset);
    std::memcpy(data.data(), &value, sizeof(value));
  }
}

void VirtioMmio::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kConfiguration) {
    device_->write_configuration(offset - kConfiguration, data);
  } else if (data.size() == 4 && offset % 4 == 0) {
    std::uint32_t value = 0;
    std::memcpy(&value, data.data(), sizeof(value));
    write_register(offset, value);
  }
}

void VirtioMmio::read_configuration(std::uint64_t offset, std::span<std::byte> data) const {
  const std::vector<std::byte> configuration = device_->configuration();
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i] = offset + i < configuration.size() ? configuration[offset + i] : std::byte{0};
  }
}

std::uint32_t VirtioMmio::read_register(std::uint64_t offset) {
  const bool queue_exists = registers_.queue_select < device_->queue_count();
  const auto queue = static_cast<std::uint16_t>(registers_.queue_select);
  switch (offset) {
    case kMagicValue:
      return kMagic;
    case kVersion:
      return 2;
    case kDeviceId:
      return device_->identity().device_id;
    case kVendorId:
      return kVendor;
    case kDeviceFeatures:
      return half(offered_features(), registers_.device_features_select);
    case kQueueSizeMaximum:
      return queue_exists ? device_->queue(queue).maximum_size() : 0;
    case kQueueReady:
      return queue_exists && device_->queue(queue).enabled() ? 1 : 0;
    case kInterruptStatus:
      return registers_.interrupt_status;
    case kStatus:
      return registers_.status;
    case kConfigurationGeneration:
      return configuration_generation_;
    default:
      // No device has shared memory regions: their length and base read as all ones.
      return offset >= kSharedMemoryLengthLow && offset <= kSharedMemoryBaseHigh ? ~0U : 0;
  }
}

void VirtioMmio::write_register(std::uint64_t offset, std::uint32_t value) {
  switch (offset) {
    case kDeviceFeaturesSelect:
      registers_.device_features_select = value;
      break;
    case kDriverFeatures:
      write_driver_features(value);
      break;
    case kDriverFeaturesSelect:
      registers_.driver_features_select = value;
      break;
    case kQueueSelect:
      registers_.queue_select = value;
      break;
    case kQueueNotify:
      // From a vCPU without a doorbell: the work is the event loop's.
      if (value < device_->queue_count()) {
        schedule(static_cast<std::uint16_t>(value));
      }
      break;
    case kInterruptAcknowledge:
      registers_.interrupt_status &= ~value;
      break;
    case kStatus:
      write_status(value);
      break;
    default:
      write_queue_register(offset, value);
      break;
  }
}

void VirtioMmio::write_driver_features(std::uint32_t value) {
  if ((registers_.status & kFeaturesOk) == 0 && registers_.driver_features_select <= 1) {
    set_half(registers_.driver_features, registers_.driver_features_select, value);
  }
}

// The registers that describe the selected queue. They have no effect on an enabled queue.
void VirtioMmio::write_queue_register(std::uint64_t offset, std::uint32_t value) {
  if (registers_.queue_select >= device_->queue_count()) {
    return;
  }
  const auto index = static_cast<std::uint16_t>(registers_.queue_select);
  if (device_->queue(index).enabled()) {
    return;
  }
  QueueSetup& setup = registers_.queues[index];
  switch (offset) {
    case kQueueSize:
      // A size that 16 bits do not hold is as wrong as 0, which enabling refuses.
      setup.size = value > vmm::Virtqueue::kLargestSize ? std::uint16_t{0}
                                                        : static_cast<std::uint16_t>(value);
      break;
    case kQueueReady:
      enable_queue(value);
      break;
    case kQueueDescriptorsLow:
    case kQueueDescriptorsHigh:
      set_half(setup.addresses.descriptors, offset == kQueueDescriptorsHigh, value);
      break;
    case kQueueDriverLow:
    case kQueueDriverHigh:
      set_half(setup.addresses.available, offset == kQueueDriverHigh, value);
      break;
    case kQueueDeviceLow:
    case kQueueDeviceHigh:
      set_half(setup.addresses.used, offset == kQueueDeviceHigh, value);
      break;
    default:
      break;
  }
}

void VirtioMmio::enable_queue(std::uint32_t value) {
  if (value != 1 || broken_) {
    return;
  }
  const auto index = static_cast<std::uint16_t>(registers_.queue_select);
  if ((registers_.status & kFeaturesOk) == 0) {
    mark_broken(Error(fmt::format("queue {} enabled before FEATURES_OK", index)));
    return;
  }
  const QueueSetup& setup = registers_.queues[index];
  const Result<void> enabled =
      device_->queue(index).enable(setup.size, setup.addresses,
                                   {.event_index = has_feature(kFeatureEventIndex),
                                    .indirect = has_feature(kFeatureIndirectDescriptors)});
  if (!enabled) {
    mark_broken(enabled.error().with_context(fmt::format("queue {}", index)));
  }
}

// Bits are added, never taken away, but by a reset (section 2.1.1).
void VirtioMmio::write_status(std::uint32_t value) {
  if (value == 0) {
    reset();
    return;
  }
  const std::uint32_t added = value & kDriverBits & ~registers_.status;
  if ((added & kFeaturesOk) != 0 &&
      ((registers_.driver_features & ~offered_features()) != 0 || !has_feature(kFeatureVersion1))) {
    // Left clear: the driver reads back that its choice is not accepted.
    registers_.status |= added & ~(kFeaturesOk | kDriverOk);
    return;
  }
  registers_.status |= added & ~kDriverOk;
  if ((added & kDriverOk) == 0 || broken_) {
    return;
  }
  if ((registers_.status & kFeaturesOk) == 0) {
    mark_broken(Error("DRIVER_OK before FEATURES_OK"));
    return;
  }
  registers_.status |= kDriverOk;
  driver_time_ = driver_time_.value_or(std::chrono::steady_clock::now());
  device_->activated();
}

// Queues first, so that the chains that the device drops do not reach the driver.
void VirtioMmio::reset() {
  for (std::uint16_t queue = 0; queue < device_->queue_count(); ++queue) {
    device_->queue(queue).reset();
  }
  device_->reset();
  registers_ = {};
  registers_.queues.resize(device_->queue_count());
  broken_.reset();
}

Result<void> VirtioMmio::save(vmm::StateWriter& writer) const {
  writer.u32(registers_.status);
  writer.u32(registers_.interrupt_status);
  writer.u32(registers_.device_features_select);
  writer.u32(registers_.driver_features_select);
  writer.u64(registers_.driver_features);
  writer.u32(registers_.queue_select);
  writer.u32(configuration_generation_);
  writer.string(broken_ ? broken_->message().substr(0, kLongestReason) : "");
  writer.u16(device_->queue_count());
  for (std::uint16_t queue = 0; queue < device_->queue_count(); ++queue) {
    const QueueSetup& setup = registers_.queues[queue];
    writer.u16(setup.size);
    writer.u64(setup.addresses.descriptors);
    writer.u64(setup.addresses.available);
    writer.u64(setup.addresses.used);
    device_->queue(queue).save(writer);
  }
  device_->save(writer);
  return {};
}

// Whether registers that were saved can be those of this device.
Result<void> VirtioMmio::check(const Registers& registers, bool broken) const {
  const std::uint32_t status = registers.status;
  const std::uint64_t features = registers.driver_features;
  if ((status & ~(kDriverBits | kNeedsReset)) != 0) {
    return fail("the saved status {:#x} has bits that there are not", status);
  }
  if ((status & kDriverOk) != 0 && (status & kFeaturesOk) == 0) {
    return fail("the saved status {:#x} has DRIVER_OK without FEATURES_OK", status);
  }
  if (((status & kNeedsReset) != 0) != broken) {
    return fail("the saved status {:#x} says otherwise than the reason why the device stopped",
                status);
  }
  if ((registers.interrupt_status & ~(kUsedBuffer | kConfigurationChange)) != 0) {
    return fail("the saved interrupt status {:#x} has causes that there are not",
                registers.interrupt_status);
  }
  if ((status & kFeaturesOk) != 0 && (features & ~offered_features()) != 0) {
    return fail("the driver uses features {:#x}, but the device offers {:#x}", features,
                offered_features());
  }
  if ((status & kFeaturesOk) != 0 && (features & feature_mask(kFeatureVersion1)) == 0) {
    return fail("the driver uses features {:#x} without VERSION_1", features);
  }
  return {};
}

// After an Error the device is as after a reset.
Result<void> VirtioMmio::restore(vmm::StateReader& reader, std::uint32_t) {
  reset();
  auto restored = restore_all(reader);
  if (!restored) {
    reset();
  }
  return restored;
}

Result<void> VirtioMmio::restore_all(vmm::StateReader& reader) {
  Registers registers;
  registers.status = reader.u32();
  registers.interrupt_status = reader.u32();
  registers.device_features_select = reader.u32();
  registers.driver_features_select = reader.u32();
  registers.driver_features = reader.u64();
  registers.queue_select = reader.u32();
  const std::uint32_t generation = reader.u32();
  const std::string reason = reader.string(kLongestReason);
  const std::uint16_t queue_count = reader.u16();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  if (queue_count != device_->queue_count()) {
    return fail("{} queues were saved, but the device has {}", queue_count, device_->queue_count());
  }
  if (auto checked = check(registers, !reason.empty()); !checked) {
    return checked;
  }
  for (std::uint16_t queue = 0; queue < queue_count; ++queue) {
    QueueSetup& setup = registers.queues.emplace_back();
    setup.size = reader.u16();
    setup.addresses.descriptors = reader.u64();
    setup.addresses.available = reader.u64();
    setup.addresses.used = reader.u64();
    if (Result<void> restored = device_->queue(queue).restore(reader); !restored) {
      return std::unexpected(restored.error().with_context(fmt::format("queue {}", queue)));
    }
    if (device_->queue(queue).enabled() && (registers.status & kFeaturesOk) == 0) {
      return fail("queue {} was enabled without FEATURES_OK", queue);
    }
  }
  if (Result<void> restored = device_->restore(reader); !restored) {
    return restored;
  }
  if (Result<void> finished = reader.finish(); !finished) {
    return finished;
  }
  registers_ = std::move(registers);
  configuration_generation_ = generation;
  if (!reason.empty()) {
    broken_ = Error(reason);
  }
  if (running()) {
    device_->activated();
    for (std::uint16_t queue = 0; queue < queue_count; ++queue) {
      schedule(queue);
    }
  }
  return {};
}

}  // namespace ensemble::device
