#include "device-model/i2c/designware_i2c.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace ensemble::device {
namespace {

enum Register : std::uint64_t {
  kCon = 0x00,
  kTar = 0x04,
  kSar = 0x08,
  kDataCommand = 0x10,
  kStandardHigh = 0x14,
  kHighSpeedLow = 0x28,
  kInterruptStatus = 0x2C,
  kInterruptMask = 0x30,
  kRawInterruptStatus = 0x34,
  kReceiveThreshold = 0x38,
  kTransmitThreshold = 0x3C,
  kClearInterrupts = 0x40,
  kClearReceiveUnder = 0x44,
  kClearReceiveOver = 0x48,
  kClearTransmitOver = 0x4C,
  kClearReadRequest = 0x50,
  kClearTransmitAbort = 0x54,
  kClearReceiveDone = 0x58,
  kClearActivity = 0x5C,
  kClearStop = 0x60,
  kClearStart = 0x64,
  kClearGeneralCall = 0x68,
  kEnable = 0x6C,
  kStatus = 0x70,
  kTransmitLevel = 0x74,
  kReceiveLevel = 0x78,
  kSdaHold = 0x7C,
  kAbortSource = 0x80,
  kSdaSetup = 0x94,
  kGeneralCallAcknowledge = 0x98,
  kEnableStatus = 0x9C,
  kFastSpikeLength = 0xA0,
  kClearRestart = 0xA8,
  kParameters = 0xF4,
  kVersion = 0xF8,
  kType = 0xFC,
};

// Of kCon.
constexpr std::uint32_t kMaster = 1 << 0;
constexpr std::uint32_t kTenBitMaster = 1 << 4;
constexpr std::uint32_t kRestartEnabled = 1 << 5;
constexpr std::uint32_t kConReset = 0x65;  // Master, fast, restart, no slave.

// Of kTar: the same as kTenBitMaster, where it is set per transfer.
constexpr std::uint32_t kTenBitTarget = 1 << 12;

// Of kDataCommand.
constexpr std::uint16_t kRead = 1 << 8;
constexpr std::uint16_t kStop = 1 << 9;
constexpr std::uint16_t kRestart = 1 << 10;

// Interrupts.
constexpr std::uint32_t kReceiveUnder = 1 << 0;
constexpr std::uint32_t kReceiveFull = 1 << 2;
constexpr std::uint32_t kTransmitOver = 1 << 3;
constexpr std::uint32_t kTransmitEmpty = 1 << 4;
constexpr std::uint32_t kTransmitAbort = 1 << 6;
constexpr std::uint32_t kActivity = 1 << 8;
constexpr std::uint32_t kStopDetected = 1 << 9;
constexpr std::uint32_t kStartDetected = 1 << 10;
constexpr std::uint32_t kRestartDetected = 1 << 12;
constexpr std::uint32_t kAllInterrupts = 0x1FFF;
constexpr std::uint32_t kMaskReset = 0x8FF;

// Abort sources; how many commands were dropped stands above.
constexpr std::uint32_t kAddressNoAcknowledge = 1 << 0;
constexpr std::uint32_t kTenBitNoAcknowledge = 1 << 1;
constexpr std::uint32_t kDataNoAcknowledge = 1 << 3;
constexpr std::uint32_t kNoRestart = 1 << 10;
constexpr std::uint32_t kMasterDisabled = 1 << 11;
constexpr std::uint32_t kUserAbort = 1 << 16;
constexpr unsigned kFlushedShift = 23;

// Of kEnable.
constexpr std::uint32_t kEnabled = 1 << 0;
constexpr std::uint32_t kAbortRequest = 1 << 1;

constexpr std::uint32_t kTypeValue = 0x44570140;     // "DW", and the product's number.
constexpr std::uint32_t kVersionValue = 0x3230312A;  // "201*": 2.01a.
// 32-bit bus, fast speed, parameters readable, one interrupt; the FIFOs' depths less one.
constexpr std::uint32_t kParametersValue = 2 | 2 << 2 | 1 << 5 | 1 << 7 |
                                           (DesignwareI2c::kFifoDepth - 1) << 8 |
                                           (DesignwareI2c::kFifoDepth - 1) << 16;

}  // namespace

DesignwareI2c::DesignwareI2c(std::string name, std::unique_ptr<vmm::LevelInterruptLine> interrupt)
    : name_(std::move(name)), interrupt_(std::move(interrupt)) {
  setting(kCon) = kConReset;
  setting(kTar) = 0x55;
  setting(kSar) = 0x55;
  setting(kInterruptMask) = kMaskReset;
  // At 133 MHz: 100 kHz, then 400 kHz.
  setting(kStandardHigh) = 532;
  setting(0x18) = 625;
  setting(0x1C) = 80;
  setting(0x20) = 173;
  setting(kSdaHold) = 1;
  setting(kSdaSetup) = 0x64;
  setting(kGeneralCallAcknowledge) = 1;
  setting(kFastSpikeLength) = 7;
}

bool DesignwareI2c::enabled() const {
  return (setting(kEnable) & kEnabled) != 0;
}

void DesignwareI2c::read(std::uint64_t offset, std::span<std::byte> data) {
  // Registers are words; a narrower load gets its part of the word.
  const std::uint32_t value = offset / 4 < kSettingCount ? read_register(offset & ~3ULL) : 0;
  std::array<std::byte, 12> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(value));
  std::memcpy(data.data(), bytes.data() + offset % 4, data.size());
}

void DesignwareI2c::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset % 4 != 0 || offset / 4 >= kSettingCount) {
    return;
  }
  std::uint32_t value = 0;
  std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
  write_register(offset, value);
}

std::uint32_t DesignwareI2c::read_register(std::uint64_t offset) {
  switch (offset) {
    case kDataCommand: {
      if (received_.empty()) {
        latched_ |= enabled() ? kReceiveUnder : 0;
        update_interrupt();
        return 0;
      }
      const std::uint8_t value = received_.front();
      received_.pop_front();
      run_commands();
      return value;
    }
    case kInterruptStatus:
      return raw_interrupts() & setting(kInterruptMask);
    case kRawInterruptStatus:
      return raw_interrupts();
    case kStatus:
      return status();
    case kTransmitLevel:
      return static_cast<std::uint32_t>(commands_.size());
    case kReceiveLevel:
      return static_cast<std::uint32_t>(received_.size());
    case kAbortSource:
      return abort_source_;
    case kEnableStatus:
      return setting(kEnable) & kEnabled;
    case kParameters:
      return kParametersValue;
    case kVersion:
      return kVersionValue;
    case kType:
      return kTypeValue;
    default:
      return (offset >= kClearInterrupts && offset <= kClearGeneralCall) || offset == kClearRestart
                 ? clear_on_read(offset)
                 : setting(offset);
  }
}

std::uint32_t DesignwareI2c::clear_on_read(std::uint64_t offset) {
  // In the order of the registers from kClearReceiveUnder.
  constexpr std::uint32_t kBits[] = {kReceiveUnder,  1 << 1, kTransmitOver, 1 << 5,
                                     kTransmitAbort, 1 << 7, kActivity,     kStopDetected,
                                     kStartDetected, 1 << 11};
  const std::uint32_t bits = offset == kClearInterrupts ? kAllInterrupts
                             : offset == kClearRestart  ? kRestartDetected
                                                        : kBits[(offset - kClearReceiveUnder) / 4];
  latched_ &= ~bits;
  if ((bits & kTransmitAbort) != 0) {
    abort_source_ = 0;
  }
  update_interrupt();
  return 0;
}

void DesignwareI2c::write_register(std::uint64_t offset, std::uint32_t value) {
  switch (offset) {
    case kCon:
    case kSar:
    case kSdaHold:
    case kSdaSetup:
    case kGeneralCallAcknowledge:
      if (!enabled()) {
        setting(offset) = value;
      }
      break;
    case kTar:
      // May change between transfers.
      if (phase_ == Phase::kIdle) {
        setting(offset) = value & 0x1FFF;
      }
      break;
    case kDataCommand:
      push_command(static_cast<std::uint16_t>(value & 0x7FF));
      break;
    case kInterruptMask:
      setting(offset) = value & kAllInterrupts;
      break;
    case kReceiveThreshold:
    case kTransmitThreshold:
      setting(offset) = std::min<std::uint32_t>(value & 0xFF, kFifoDepth - 1);
      break;
    case kEnable:
      enable(value);
      break;
    default:
      if (((offset >= kStandardHigh && offset <= kHighSpeedLow) || offset == kFastSpikeLength) &&
          !enabled()) {
        setting(offset) = value & 0xFFFF;
      }
      break;
  }
  update_interrupt();
}

void DesignwareI2c::enable(std::uint32_t value) {
  if ((value & kAbortRequest) != 0 && enabled() && phase_ != Phase::kIdle) {
    abort(kUserAbort);
  }
  setting(kEnable) = value & kEnabled;
  if (!enabled()) {
    if (phase_ != Phase::kIdle) {
      stop();
    }
    commands_.clear();
    received_.clear();
    latched_ = 0;
  }
}

void DesignwareI2c::push_command(std::uint16_t command) {
  if (!enabled() || (latched_ & kTransmitAbort) != 0) {
    return;  // After an abort the FIFO takes nothing until the driver has seen it.
  }
  if (commands_.size() == kFifoDepth) {
    latched_ |= kTransmitOver;
    return;
  }
  commands_.push_back(command);
  run_commands();
}

void DesignwareI2c::run_commands() {
  while (!commands_.empty()) {
    if ((commands_.front() & kRead) != 0 && received_.size() == kFifoDepth) {
      break;
    }
    const std::uint16_t command = commands_.front();
    commands_.pop_front();
    run(command);
  }
  update_interrupt();
}

void DesignwareI2c::run(std::uint16_t command) {
  const auto direction = (command & kRead) != 0 ? I2cDirection::kRead : I2cDirection::kWrite;
  const Phase phase = direction == I2cDirection::kRead ? Phase::kReading : Phase::kWriting;
  if (phase_ == Phase::kIdle) {
    if (!address(direction, false)) {
      return;
    }
  } else if (phase_ != phase || (command & kRestart) != 0) {
    if ((setting(kCon) & kRestartEnabled) == 0) {
      // Without a restart the controller ends one transfer and begins the next.
      stop();
    }
    if (!address(direction, phase_ != Phase::kIdle)) {
      return;
    }
  }
  phase_ = phase;
  I2cDevice& device = *bus_.find(target_);
  if (direction == I2cDirection::kRead) {
    received_.push_back(device.read());
  } else if (!device.write(static_cast<std::uint8_t>(command))) {
    abort(kDataNoAcknowledge);
    return;
  }
  if ((command & kStop) != 0) {
    stop();
  }
}

bool DesignwareI2c::address(I2cDirection direction, bool restart) {
  latched_ |= kActivity | (restart ? kRestartDetected : 0) | kStartDetected;
  if ((setting(kCon) & kMaster) == 0) {
    abort(kMasterDisabled);
    return false;
  }
  if ((setting(kCon) & kTenBitMaster) != 0 || (setting(kTar) & kTenBitTarget) != 0) {
    // No device here has a 10-bit address. Reading from one takes a restart.
    const bool possible =
        direction == I2cDirection::kWrite || (setting(kCon) & kRestartEnabled) != 0;
    abort(possible ? kTenBitNoAcknowledge : kNoRestart);
    return false;
  }
  const auto target = static_cast<std::uint8_t>(setting(kTar) & 0x7F);
  I2cDevice* const device = bus_.find(target);
  if (device == nullptr || !device->start(direction)) {
    abort(kAddressNoAcknowledge);
    return false;
  }
  target_ = target;
  return true;
}

// The controller ends the transfer by itself and drops the commands that wait.
void DesignwareI2c::abort(std::uint32_t source) {
  abort_source_ = source | static_cast<std::uint32_t>(commands_.size()) << kFlushedShift;
  commands_.clear();
  latched_ |= kTransmitAbort;
  stop();
}

void DesignwareI2c::stop() {
  if (phase_ != Phase::kIdle) {
    bus_.find(target_)->stop();
    phase_ = Phase::kIdle;
  }
  latched_ |= kStopDetected | kActivity;
}

std::uint32_t DesignwareI2c::raw_interrupts() const {
  std::uint32_t bits = latched_;
  if (enabled()) {
    bits |= commands_.size() <= setting(kTransmitThreshold) ? kTransmitEmpty : 0;
    bits |= received_.size() > setting(kReceiveThreshold) ? kReceiveFull : 0;
  }
  return bits;
}

std::uint32_t DesignwareI2c::status() const {
  const bool active = phase_ != Phase::kIdle || !commands_.empty();
  return (active ? 1U << 0 | 1U << 5 : 0U) | (commands_.size() < kFifoDepth ? 1U << 1 : 0U) |
         (commands_.empty() ? 1U << 2 : 0U) | (received_.empty() ? 0U : 1U << 3) |
         (received_.size() == kFifoDepth ? 1U << 4 : 0U);
}

void DesignwareI2c::update_interrupt() {
  if (interrupt_) {
    interrupt_->set_level((raw_interrupts() & setting(kInterruptMask)) != 0);
  }
}

Result<void> DesignwareI2c::save(vmm::StateWriter& writer) const {
  writer.object(settings_);
  writer.u32(latched_);
  writer.u32(abort_source_);
  writer.u8(static_cast<std::uint8_t>(phase_));
  writer.u8(target_);
  writer.u32(static_cast<std::uint32_t>(commands_.size()));
  for (const std::uint16_t command : commands_) {
    writer.u16(command);
  }
  writer.u32(static_cast<std::uint32_t>(received_.size()));
  for (const std::uint8_t value : received_) {
    writer.u8(value);
  }
  return {};
}

Result<void> DesignwareI2c::restore(vmm::StateReader& reader, std::uint32_t) {
  const auto settings = reader.object<std::array<std::uint32_t, kSettingCount>>();
  const std::uint32_t latched = reader.u32();
  const std::uint32_t abort_source = reader.u32();
  const std::uint8_t phase = reader.u8();
  const std::uint8_t target = reader.u8();
  std::deque<std::uint16_t> commands(std::min<std::size_t>(reader.u32(), kFifoDepth + 1));
  for (std::uint16_t& command : commands) {
    command = reader.u16();
  }
  std::deque<std::uint8_t> received(std::min<std::size_t>(reader.u32(), kFifoDepth + 1));
  for (std::uint8_t& value : received) {
    value = reader.u8();
  }
  if (auto finished = reader.finish(); !finished) {
    return finished;
  }
  if (phase > static_cast<std::uint8_t>(Phase::kReading) || commands.size() > kFifoDepth ||
      received.size() > kFifoDepth ||
      (phase != 0 && (target > 0x7F || bus_.find(target) == nullptr))) {
    return fail(
        "no controller can be in this state: phase {}, target {:#04x}, {} commands and {} "
        "bytes in FIFOs of {}",
        phase, target, commands.size(), received.size(), kFifoDepth);
  }
  const auto was = [&settings](std::uint64_t offset) { return settings[offset / 4]; };
  const bool is_enabled = was(kEnable) == kEnabled;
  const bool works = phase != 0 || !commands.empty() || !received.empty() || latched != 0;
  if (was(kEnable) > kEnabled || (works && !is_enabled) || (latched & ~kAllInterrupts) != 0 ||
      (was(kInterruptMask) & ~kAllInterrupts) != 0 || was(kTar) > 0x1FFF ||
      was(kReceiveThreshold) >= kFifoDepth || was(kTransmitThreshold) >= kFifoDepth ||
      std::ranges::any_of(commands, [](std::uint16_t command) { return command > 0x7FF; })) {
    return fail(
        "no controller can have these registers: enabled {:#x}, interrupts {:#x}, their mask "
        "{:#x}, target {:#x}, thresholds {} and {}",
        was(kEnable), latched, was(kInterruptMask), was(kTar), was(kReceiveThreshold),
        was(kTransmitThreshold));
  }
  settings_ = settings;
  latched_ = latched;
  abort_source_ = abort_source;
  phase_ = static_cast<Phase>(phase);
  target_ = target;
  commands_ = std::move(commands);
  received_ = std::move(received);
  update_interrupt();
  return {};
}

}  // namespace ensemble::device
