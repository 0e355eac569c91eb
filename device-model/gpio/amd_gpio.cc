#include "device-model/gpio/amd_gpio.h"

#include <algorithm>
#include <cstring>

namespace ensemble::device {
namespace {

constexpr std::uint64_t kMaster = 0xFC;
constexpr std::uint64_t kStatusLow = 0x2F8;
constexpr std::uint64_t kStatusHigh = 0x2FC;

// Of a pin's register.
constexpr std::uint32_t kLevelTriggered = 1U << 8;
constexpr unsigned kActiveShift = 9;
constexpr std::uint32_t kActiveHigh = 0;
constexpr std::uint32_t kActiveLow = 1;
constexpr std::uint32_t kActiveBoth = 2;
constexpr std::uint32_t kInterruptEnable = 1U << 11;  // Keeps the status.
constexpr std::uint32_t kInterruptDeliver = 1U << 12;
constexpr std::uint32_t kWakeEnables = 7U << 13;
constexpr std::uint32_t kInputHigh = 1U << 16;
constexpr std::uint32_t kOutputHigh = 1U << 22;
constexpr std::uint32_t kOutputEnable = 1U << 23;
constexpr std::uint32_t kInterruptStatus = 1U << 28;
constexpr std::uint32_t kWakeStatus = 1U << 29;
constexpr std::uint32_t kReadOnly = kInputHigh | kInterruptStatus | kWakeStatus | 3U << 30;

constexpr std::uint32_t kEndOfInterrupt = 1U << 29;

std::uint32_t active(std::uint32_t pin) {
  return pin >> kActiveShift & 3;
}

}  // namespace

void AmdGpio::drive(std::uint32_t pin, bool high) {
  std::uint32_t& value = pins_[pin];
  if (((value & kInputHigh) != 0) == high) {
    return;
  }
  value ^= kInputHigh;
  const std::uint32_t sense = active(value);
  const bool edge = (value & kLevelTriggered) == 0 &&
                    (sense == kActiveBoth || sense == (high ? kActiveHigh : kActiveLow));
  if (edge && (value & kInterruptEnable) != 0) {
    value |= kInterruptStatus;
  }
  if (edge && (value & kWakeEnables) != 0) {
    value |= kWakeStatus;
  }
  see_level(pin);
  update_interrupt();
}

// A level-triggered pin has its status as long as the level lasts, and afterwards until it is
// cleared.
void AmdGpio::see_level(std::uint32_t pin) {
  std::uint32_t& value = pins_[pin];
  const bool high = (value & kInputHigh) != 0;
  if ((value & kLevelTriggered) != 0 && (value & kInterruptEnable) != 0 &&
      active(value) == (high ? kActiveHigh : kActiveLow)) {
    value |= kInterruptStatus;
  }
}

void AmdGpio::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::uint32_t value = read_register(offset & ~3ULL);
  std::array<std::byte, 12> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(value));
  std::memcpy(data.data(), bytes.data() + offset % 4, data.size());
}

std::uint32_t AmdGpio::read_register(std::uint64_t offset) const {
  if (offset == kMaster) {
    return master_;
  }
  if (offset == kStatusLow || offset == kStatusHigh) {
    // A bit for four pins each.
    std::uint64_t status = 0;
    for (std::uint32_t pin = 0; pin < kPinCount; ++pin) {
      status |= std::uint64_t{(pins_[pin] & (kInterruptStatus | kWakeStatus)) != 0} << (pin / 4);
    }
    return static_cast<std::uint32_t>(offset == kStatusLow ? status : status >> 32);
  }
  const std::uint64_t pin = offset / 4;
  if (pin >= kPinCount) {
    return 0;
  }
  const std::uint32_t value = pins_[pin];
  if ((value & kOutputEnable) == 0) {
    return value;
  }
  return (value & kOutputHigh) != 0 ? value | kInputHigh : value & ~kInputHigh;
}

void AmdGpio::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset % 4 != 0 || data.size() < 4) {
    return;
  }
  std::uint32_t value = 0;
  std::memcpy(&value, data.data(), sizeof(value));
  if (offset == kMaster) {
    master_ = value & ~kEndOfInterrupt;
  } else if (offset / 4 < kPinCount) {
    write_pin(static_cast<std::uint32_t>(offset / 4), value);
  }
  update_interrupt();
}

void AmdGpio::write_pin(std::uint32_t pin, std::uint32_t value) {
  // Status bits are cleared by writing ones.
  const std::uint32_t kept = pins_[pin] & kReadOnly & ~(value & (kInterruptStatus | kWakeStatus));
  pins_[pin] = (value & ~kReadOnly) | kept;
  see_level(pin);
}

void AmdGpio::update_interrupt() {
  if (interrupt_) {
    interrupt_->set_level(std::ranges::any_of(pins_, [](std::uint32_t pin) {
      return (pin & kInterruptDeliver) != 0 && (pin & kInterruptStatus) != 0;
    }));
  }
}

Result<void> AmdGpio::save(vmm::StateWriter& writer) const {
  writer.object(pins_);
  writer.u32(master_);
  return {};
}

Result<void> AmdGpio::restore(vmm::StateReader& reader, std::uint32_t) {
  const auto pins = reader.object<std::array<std::uint32_t, kPinCount>>();
  const std::uint32_t master = reader.u32();
  if (auto finished = reader.finish(); !finished) {
    return finished;
  }
  constexpr std::uint32_t kNeverSet = 3U << 30;
  for (std::uint32_t pin = 0; pin < kPinCount; ++pin) {
    const std::uint32_t allowed = pin == kNoPin ? 0 : ~kNeverSet;
    if ((pins[pin] & ~allowed) != 0) {
      return fail("pin {} was saved as {:#x}, of which no pin has the bits {:#x}", pin, pins[pin],
                  pins[pin] & ~allowed);
    }
  }
  if ((master & kEndOfInterrupt) != 0) {
    return fail("the master register was saved as {:#x}, but its bit {:#x} is never set", master,
                kEndOfInterrupt);
  }
  pins_ = pins;
  master_ = master;
  update_interrupt();
  return {};
}

}  // namespace ensemble::device
