#include "vmm/machine_control.h"

#include <cstring>
#include <utility>

namespace ensemble::vmm {
namespace {

constexpr uint64_t kFinishRegister = 0x00;
constexpr uint64_t kFirstMilestone = 0x08;
constexpr uint64_t kMilestoneStride = 8;
constexpr uint64_t kMissedCallNumber = 0x28;
constexpr uint64_t kMissedCallCount = 0x2c;

// The low half of the finish register; the high half is the exit code.
constexpr uint32_t kPass = 0x5555;
constexpr uint32_t kFail = 0x3333;
constexpr uint32_t kReset = 0x7777;

// Registers of 8 bits, as the hardware-reduced profile of ACPI has them (ACPI 6.4, 4.8.3.6 and
// 4.8.3.7).
constexpr uint64_t kSleepControl = 0x30;
constexpr uint64_t kResetControl = 0x32;
// The event register of the power button: 1 after a press, until it is written.
constexpr uint64_t kPowerButton = 0x33;
constexpr uint8_t kSleepEnable = 1 << 5;
constexpr uint8_t kSleepTypeShift = 2;
constexpr uint8_t kSleepTypeMask = 7;
constexpr uint8_t kSleepTypeOff = 5;
constexpr uint8_t kResetNow = 1;

constexpr uint32_t kVersionWithMissedCalls = 2;
constexpr uint32_t kVersionWithPowerButton = 3;

}  // namespace

std::optional<uint64_t> MachineControl::milestone(Milestone which) const {
  return milestones_[static_cast<size_t>(which)].value;
}

void MachineControl::read(uint64_t offset, std::span<std::byte> data) {
  std::memset(data.data(), 0, data.size());
  if (offset == kPowerButton && data.size() == 1 && pressed_) {
    data[0] = std::byte{1};
  }
}

Result<void> MachineControl::press_power_button() {
  if (!handlers_.button_pressed) {
    return fail("the machine has no power button: machines whose kernel is Linux on KVM have one");
  }
  pressed_ = true;
  handlers_.button_pressed();
  return {};
}

void MachineControl::write(uint64_t offset, std::span<const std::byte> data) {
  uint32_t value = 0;
  if (data.size() == 1) {
    write_acpi(offset, std::to_integer<uint8_t>(data[0]));
    return;
  }
  if (data.size() != sizeof(value)) {
    return;
  }
  std::memcpy(&value, data.data(), sizeof(value));
  if (offset == kFinishRegister) {
    finish(value);
    return;
  }
  if (offset == kMissedCallNumber) {
    missed_call_ = value;
    return;
  }
  if (offset == kMissedCallCount) {
    count_missed_call(value);
    return;
  }
  if (offset < kFirstMilestone || offset % sizeof(value) != 0) {
    return;
  }
  const uint64_t index = (offset - kFirstMilestone) / kMilestoneStride;
  if (index >= milestones_.size()) {
    return;
  }
  Latch& latch = milestones_[index];
  if (offset % kMilestoneStride == 0) {
    latch.low = value;
  } else {
    latch.value = uint64_t{value} << 32 | latch.low;
  }
}

void MachineControl::write_acpi(uint64_t offset, uint8_t value) {
  if (offset == kPowerButton) {
    pressed_ = false;
  } else if (offset == kResetControl && value == kResetNow) {
    handlers_.reset();
  } else if (offset == kSleepControl && (value & kSleepEnable) != 0 &&
             ((value >> kSleepTypeShift) & kSleepTypeMask) == kSleepTypeOff) {
    handlers_.power_off(0);
  }
}

void MachineControl::finish(uint32_t value) {
  const auto exit_code = static_cast<uint8_t>(value >> 16);
  switch (value & 0xffff) {
    case kPass:
      handlers_.power_off(0);
      break;
    case kFail:
      handlers_.power_off(exit_code);
      break;
    case kReset:
      handlers_.reset();
      break;
    default:
      break;
  }
}

void MachineControl::count_missed_call(uint32_t count) {
  if (missed_calls_.size() < kMissedCallLimit || missed_calls_.contains(missed_call_)) {
    missed_calls_[missed_call_] = count;
  }
}

Result<void> MachineControl::save(StateWriter& writer) const {
  for (const Latch& latch : milestones_) {
    writer.u32(latch.low);
    writer.boolean(latch.value.has_value());
    writer.u64(latch.value.value_or(0));
  }
  writer.u32(missed_call_);
  writer.u32(static_cast<uint32_t>(missed_calls_.size()));
  for (const auto& [number, count] : missed_calls_) {
    writer.u32(number);
    writer.u32(count);
  }
  writer.boolean(pressed_);
  return {};
}

Result<void> MachineControl::restore(StateReader& reader, uint32_t version) {
  std::array<Latch, kMilestoneCount> milestones;
  for (Latch& latch : milestones) {
    latch.low = reader.u32();
    const bool present = reader.boolean();
    const uint64_t value = reader.u64();
    if (present) {
      latch.value = value;
    }
  }
  uint32_t missed_call = 0;
  std::map<uint32_t, uint32_t> missed_calls;
  if (version >= kVersionWithMissedCalls) {
    missed_call = reader.u32();
    const uint32_t entries = reader.u32();
    for (uint32_t i = 0; i < entries && i < kMissedCallLimit; ++i) {
      const uint32_t number = reader.u32();
      missed_calls[number] = reader.u32();
    }
  }
  const bool pressed = version >= kVersionWithPowerButton && reader.boolean();
  if (auto finished = reader.finish(); !finished) {
    return finished;
  }
  milestones_ = milestones;
  missed_call_ = missed_call;
  missed_calls_ = std::move(missed_calls);
  pressed_ = pressed;
  return {};
}

}  // namespace ensemble::vmm
