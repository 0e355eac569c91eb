// Maxim MAX30102: heart-rate and oxygen sensor. Registers as its data sheet has them and Linux's
// max30102 driver uses them.

#include <algorithm>
#include <array>
#include <cmath>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kStatus1 = 0x00,
  kStatus2 = 0x01,
  kEnable1 = 0x02,
  kEnable2 = 0x03,
  kWritePointer = 0x04,
  kOverflow = 0x05,
  kReadPointer = 0x06,
  kFifoData = 0x07,
  kFifoConfiguration = 0x08,
  kMode = 0x09,
  kSpo2 = 0x0A,
  kRedCurrent = 0x0C,
  kInfraredCurrent = 0x0D,
  kTemperature = 0x1F,
  kTemperatureFraction = 0x20,
  kTemperatureEnable = 0x21,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {0x02, 0x02, 0x00, 0xE0}, {0x03, 0x03, 0x00, 0x02}, {0x04, 0x06, 0x00, 0x1F},
    {0x08, 0x0A, 0x00, 0xFF}, {0x0C, 0x0D, 0x00, 0xFF}, {0x11, 0x12, 0x00, 0x77},
    {0x21, 0x21, 0x00, 0x01}, {0xFE, 0xFE, 0x03, 0x00}, {0xFF, 0xFF, 0x15, 0x00},
};

// Bits of kStatus1 and kEnable1; of kStatus2 and kEnable2.
constexpr std::uint8_t kAlmostFull = 1 << 7;
constexpr std::uint8_t kSampleReady = 1 << 6;
constexpr std::uint8_t kPowerReady = 1 << 0;
constexpr std::uint8_t kTemperatureReady = 1 << 1;

constexpr std::uint8_t kSlots = 32;
constexpr std::uint64_t kTemperatureTime = 29'000'000;  // ns
constexpr double kLedStep = 0.2e-3;                     // A
// Current of the photodiode per current of the diode, if the skin returned all light.
constexpr double kCoupling = 100e-6;

// The slot after `slot`.
std::uint8_t after(std::uint8_t slot) {
  return static_cast<std::uint8_t>((slot + 1) % kSlots);
}

class Max30102 final : public ByteChip {
 public:
  Max30102(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {
    at(kStatus1) = kPowerReady;
  }

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  std::uint8_t next(std::uint8_t address) override {
    return address == kFifoData ? address : static_cast<std::uint8_t>(address + 1);
  }
  void advance(std::uint64_t now) override;
  void update_outputs() override;
  void exchange(StateFields& state) override {
    clock_.exchange(state);
    for (auto& slot : slots_) {
      for (std::uint32_t& value : slot) {
        state.limited(value, 0x3FFFF, "as a sample");
      }
    }
    state.limited(byte_, 5, "bytes read of a sample");
    state.limited(count_, kSlots, "samples");
    state.deadline(temperature_time_);
  }

  void take(std::uint64_t time);
  void set_clock();
  unsigned leds() const {
    const int mode = at(kMode) & 7;
    return mode == 2 ? 1 : mode == 3 || mode == 7 ? 2 : 0;
  }
  std::uint32_t convert(Quantity quantity, std::uint8_t current, std::uint64_t time) const;
  std::uint8_t read_fifo();

  SampleClock clock_;
  std::array<std::array<std::uint32_t, 2>, kSlots> slots_{};
  std::uint8_t byte_ = 0;               // Next one of the sample that is being read.
  std::uint8_t count_ = 0;              // Samples that wait.
  std::uint64_t temperature_time_ = 0;  // When it will be ready; 0: none is being taken.
};

std::uint32_t Max30102::convert(Quantity quantity, std::uint8_t current, std::uint64_t time) const {
  const double light = std::clamp(host().measure(quantity, time), 0.0, 1.0);
  const double range = 2.048e-6 * (1 << (at(kSpo2) >> 5 & 3));  // A, of 18 bits.
  const double received = light * current * kLedStep * kCoupling;
  const auto full = static_cast<std::uint32_t>(
      std::clamp(std::round(received / range * 262'144), 0.0, 262'143.0));
  // Short pulses give fewer bits; the lowest read as zero.
  return full & ~0U << (3 - (at(kSpo2) & 3));
}

void Max30102::take(std::uint64_t time) {
  constexpr std::uint8_t kRollOver = 1 << 4;
  at(kStatus1) |= kSampleReady;
  if (count_ == kSlots) {
    at(kOverflow) = std::min<std::uint8_t>(at(kOverflow) + 1U, 31);
    if ((at(kFifoConfiguration) & kRollOver) == 0) {
      return;
    }
    at(kReadPointer) = after(at(kReadPointer));
    --count_;
  }
  slots_[at(kWritePointer) % kSlots] = {
      convert(Quantity::kPulseRed, at(kRedCurrent), time),
      convert(Quantity::kPulseInfrared, at(kInfraredCurrent), time)};
  at(kWritePointer) = after(at(kWritePointer));
  ++count_;
  if (kSlots - count_ <= (at(kFifoConfiguration) & 0x0F)) {
    at(kStatus1) |= kAlmostFull;
  }
}

void Max30102::advance(std::uint64_t now) {
  clock_.take(now, kSlots, [this](std::uint64_t time) { take(time); });
  if (temperature_time_ != 0 && now >= temperature_time_) {
    const double celsius = host().measure(Quantity::kTemperature, temperature_time_) - 273.15;
    const int sixteenths = quantize<std::int16_t>(celsius, 1.0 / 16);
    at(kTemperature) = static_cast<std::uint8_t>(sixteenths >> 4);
    at(kTemperatureFraction) = static_cast<std::uint8_t>(sixteenths & 0x0F);
    at(kTemperatureEnable) = 0;
    at(kStatus2) |= kTemperatureReady;
    temperature_time_ = 0;
  }
}

// Three bytes a diode, the highest first.
std::uint8_t Max30102::read_fifo() {
  if (count_ == 0 || leds() == 0) {
    return 0;
  }
  const std::uint32_t value = slots_[at(kReadPointer) % kSlots][byte_ / 3U];
  const auto part = static_cast<std::uint8_t>(value >> (16 - 8 * (byte_ % 3)));
  if (++byte_ >= 3 * leds()) {
    byte_ = 0;
    --count_;
    at(kReadPointer) = after(at(kReadPointer));
  }
  at(kStatus1) &= static_cast<std::uint8_t>(~(kAlmostFull | kSampleReady));
  return part;
}

std::uint8_t Max30102::load(std::uint8_t address) {
  if (address == kFifoData) {
    return read_fifo();
  }
  const std::uint8_t value = at(address);
  if (address == kStatus1 || address == kStatus2) {
    at(address) = 0;
  } else if (address == kTemperatureFraction) {
    at(kStatus2) = 0;
  }
  return value;
}

void Max30102::store(std::uint8_t address, std::uint8_t value) {
  constexpr std::uint8_t kReset = 1 << 6;
  ByteChip::store(address, value);
  if (address == kMode && (value & kReset) != 0) {
    reset_registers();
    at(kStatus1) = kPowerReady;
    count_ = byte_ = 0;
    temperature_time_ = 0;
  } else if (address == kTemperatureEnable && (value & 1) != 0) {
    temperature_time_ = host().now() + kTemperatureTime;
  } else if (address == kWritePointer || address == kReadPointer) {
    count_ = static_cast<std::uint8_t>((at(kWritePointer) + kSlots - at(kReadPointer)) % kSlots);
    byte_ = 0;
  }
  set_clock();
}

void Max30102::set_clock() {
  constexpr std::uint8_t kShutDown = 1 << 7;
  constexpr std::uint64_t kRates[] = {50, 100, 200, 400, 800, 1000, 1600, 3200};
  const std::uint64_t averaged = 1ULL << std::min(at(kFifoConfiguration) >> 5, 5);
  const bool runs = (at(kMode) & kShutDown) == 0 && leds() != 0;
  clock_.set(host().now(), runs ? period_of(kRates[at(kSpo2) >> 2 & 7] * 1000) * averaged : 0);
}

// Open-drain, low while an enabled interrupt stands.
void Max30102::update_outputs() {
  const int pending = (at(kStatus1) & at(kEnable1)) | (at(kStatus2) & at(kEnable2));
  host().drive_interrupt(pending == 0);
  std::optional<std::uint64_t> time;
  if ((at(kEnable1) & (kAlmostFull | kSampleReady)) != 0) {
    time = clock_.next();
  }
  if (temperature_time_ != 0 && at(kEnable2) != 0 && (!time || temperature_time_ < *time)) {
    time = temperature_time_;
  }
  host().wake_at(time);
}

constexpr std::string_view kMeasures[] = {"heart-rate"};
constexpr std::uint8_t kAddresses[] = {0x57};

}  // namespace

extern const ChipModel kMax30102 = {
    .name = "max30102",
    .role = ChipRole::kSensor,
    .compatible = "maxim,max30102",
    .acpi_id = "",
    .interrupt = ChipInterrupt::kEdgeFalling,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Max30102>,
};

}  // namespace ensemble::device
