// Bosch BMP380: pressure and temperature. Registers as the data sheet BST-BMP380-DS001 has them, of
// which Linux's bmp280 driver uses identity, trim words, commands, modes, rates and data.
//
// A real chip's raw values depend on both quantities in a way that its trim words tell. Those here
// are of a chip that is perfect: its pressure cell does not feel the temperature, and both are
// straight lines. So the compensation that drivers compute is turned round exactly.

#include <algorithm>
#include <array>
#include <cmath>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/byte_fifo.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kChipId = 0x00,
  kError = 0x02,
  kStatus = 0x03,
  kPressure = 0x04,
  kTemperature = 0x07,
  kSensorTime = 0x0C,
  kEvent = 0x10,
  kInterruptStatus = 0x11,
  kFifoLength = 0x12,
  kFifoData = 0x14,
  kFifoWatermark = 0x15,
  kFifoConfiguration = 0x17,
  kInterruptControl = 0x19,
  kPower = 0x1B,
  kOversampling = 0x1C,
  kRate = 0x1D,
  kTrim = 0x31,
  kCommand = 0x7E,
};

// Trim words T1 and T2 (unsigned 16 bits) and P1, P2 (signed): of all others the term is zero.
constexpr int kT1 = 27000;
constexpr int kT2 = 18000;
constexpr int kP1 = 16384 + 8192;
constexpr int kP2 = 16384;

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {kChipId, kChipId, 0x50, 0},
    {kStatus, kStatus, 0x10, 0},
    {kPressure + 2, kPressure + 2, 0x80, 0},
    {kTemperature + 2, kTemperature + 2, 0x80, 0},
    {kEvent, kEvent, 0x01, 0},
    {0x15, 0x15, 0x01, 0xFF},
    {0x16, 0x16, 0x00, 0x01},
    {0x17, 0x17, 0x02, 0x1F},
    {0x18, 0x18, 0x02, 0x1F},
    {0x19, 0x19, 0x02, 0x5F},
    {0x1A, 0x1A, 0x00, 0x07},
    {0x1B, 0x1B, 0x00, 0x33},
    {0x1C, 0x1C, 0x02, 0x3F},
    {0x1D, 0x1D, 0x00, 0x1F},
    {0x1F, 0x1F, 0x00, 0x0E},
    {0x31, 0x31, kT1 & 0xFF, 0},
    {0x32, 0x32, kT1 >> 8, 0},
    {0x33, 0x33, kT2 & 0xFF, 0},
    {0x34, 0x34, kT2 >> 8, 0},
    {0x36, 0x36, kP1 & 0xFF, 0},
    {0x37, 0x37, kP1 >> 8, 0},
    {0x38, 0x38, kP2 & 0xFF, 0},
    {0x39, 0x39, kP2 >> 8, 0},
};

// Bits of kStatus.
constexpr std::uint8_t kPressureReady = 1 << 5;
constexpr std::uint8_t kTemperatureReady = 1 << 6;
// Bits of kInterruptStatus.
constexpr std::uint8_t kFifoAtWatermark = 1 << 0;
constexpr std::uint8_t kFifoFull = 1 << 1;
constexpr std::uint8_t kDataReady = 1 << 3;
// Bits of kPower.
constexpr std::uint8_t kPressureEnabled = 1 << 0;
constexpr std::uint8_t kTemperatureEnabled = 1 << 1;

constexpr std::size_t kFifoSize = 512;
constexpr std::uint64_t kFastestPeriod = 5'000'000;  // ns, 200 Hz; each code doubles it.
constexpr std::uint64_t kSensorTick = 39'063;        // ns

// Hundredths of a degree per step, and hundredths of a pascal, of the drivers' formulas.
constexpr double kTemperatureStep = kT2 * 25.0 / (1 << 28);
constexpr double kPressureStep = (kP1 - 16384) * 25.0 / (1 << 18);

// Drivers cut off what their formulas leave behind the last digit, and take 0x800000 for a
// measurement that was skipped.
std::uint32_t to_raw(double value, double step, double offset) {
  constexpr std::uint32_t kSkipped = 0x80'0000;
  const auto raw = static_cast<std::uint32_t>(
      std::clamp(std::ceil(value / step + offset), 0.0, double{0xFF'FFFE}));
  return raw == kSkipped ? kSkipped + 1 : raw;
}

class Bmp380 final : public ByteChip {
 public:
  Bmp380(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  std::uint8_t next(std::uint8_t address) override {
    return address == kFifoData ? address : static_cast<std::uint8_t>(address + 1);
  }
  void advance(std::uint64_t now) override {
    const std::uint64_t history = (at(kFifoConfiguration) & 1) != 0 ? kFifoSize / 4 : 1;
    clock_.take(now, history, [this](std::uint64_t time) { take(time); });
  }
  void update_outputs() override;
  void exchange(StateFields& state) override {
    clock_.exchange(state);
    fifo_.exchange(state);
    state.field(new_sample_);
  }

  void take(std::uint64_t time);
  void push_frame();
  void put(std::uint8_t address, std::uint32_t raw);
  void set_clock();
  std::size_t watermark() const { return at(kFifoWatermark) | (at(kFifoWatermark + 1) & 1U) << 8; }

  SampleClock clock_;
  ByteFifo fifo_{kFifoSize};
  bool new_sample_ = false;  // Since the output was last updated.
};

void Bmp380::put(std::uint8_t address, std::uint32_t raw) {
  put_low_first(address, static_cast<std::uint16_t>(raw));
  at(static_cast<std::uint8_t>(address + 2)) = static_cast<std::uint8_t>(raw >> 16);
}

void Bmp380::take(std::uint64_t time) {
  const std::uint8_t power = at(kPower);
  if ((power & kTemperatureEnabled) != 0) {
    const double hundredths = (host().measure(Quantity::kTemperature, time) - 273.15) * 100;
    put(kTemperature, to_raw(hundredths, kTemperatureStep, kT1 * 256.0));
    at(kStatus) |= kTemperatureReady;
  }
  if ((power & kPressureEnabled) != 0) {
    put(kPressure, to_raw(host().measure(Quantity::kPressure, time) * 100, kPressureStep, 0));
    at(kStatus) |= kPressureReady;
  }
  at(kInterruptStatus) |= kDataReady;
  new_sample_ = true;
  push_frame();
  if ((power >> 4 & 3) == 1 || (power >> 4 & 3) == 2) {  // Forced mode ends in sleep.
    at(kPower) &= 0x0F;
    clock_.stop();
  }
}

void Bmp380::push_frame() {
  constexpr std::uint8_t kEnabled = 1 << 0, kKeepOldest = 1 << 1;
  constexpr std::uint8_t kWithPressure = 1 << 3, kWithTemperature = 1 << 4;
  const std::uint8_t configuration = at(kFifoConfiguration);
  if ((configuration & kEnabled) == 0) {
    return;
  }
  std::vector<std::uint8_t> frame{0x80};
  const auto add = [&](std::uint8_t address) {
    for (std::uint8_t i = 0; i < 3; ++i) {
      frame.push_back(at(static_cast<std::uint8_t>(address + i)));
    }
  };
  if ((configuration & kWithTemperature) != 0 && (at(kPower) & kTemperatureEnabled) != 0) {
    frame[0] |= 0x10;
    add(kTemperature);
  }
  if ((configuration & kWithPressure) != 0 && (at(kPower) & kPressureEnabled) != 0) {
    frame[0] |= 0x04;
    add(kPressure);
  }
  if (frame.size() == 1) {
    return;
  }
  if (fifo_.fits(frame.size()) || (configuration & kKeepOldest) == 0) {
    fifo_.push(frame);
  }
  at(kInterruptStatus) |=
      static_cast<std::uint8_t>((fifo_.fits(frame.size()) ? 0 : kFifoFull) |
                                (fifo_.size() >= watermark() ? kFifoAtWatermark : 0));
}

std::uint8_t Bmp380::load(std::uint8_t address) {
  switch (address) {
    case kSensorTime:
    case kSensorTime + 1:
    case kSensorTime + 2:
      return static_cast<std::uint8_t>(host().now() / kSensorTick >> (8 * (address - kSensorTime)));
    case kFifoLength:
      return static_cast<std::uint8_t>(fifo_.size());
    case kFifoLength + 1:
      return static_cast<std::uint8_t>(fifo_.size() >> 8);
    case kFifoData:
      return fifo_.pop(0x80);
    default:
      break;
  }
  const std::uint8_t value = at(address);
  if (address >= kPressure && address < kTemperature) {
    at(kStatus) &= static_cast<std::uint8_t>(~kPressureReady);
  } else if (address >= kTemperature && address < kTemperature + 3) {
    at(kStatus) &= static_cast<std::uint8_t>(~kTemperatureReady);
  } else if (address == kInterruptStatus || address == kEvent) {
    at(address) = 0;
  }
  return value;
}

void Bmp380::store(std::uint8_t address, std::uint8_t value) {
  constexpr std::uint8_t kFlushFifo = 0xB0, kSoftReset = 0xB6, kExtendedMode = 0x34;
  constexpr std::uint8_t kBadCommand = 1 << 1;
  if (address != kCommand) {
    ByteChip::store(address, value);
    if (address == kPower || address == kRate) {
      set_clock();
    }
    return;
  }
  at(kError) &= static_cast<std::uint8_t>(~kBadCommand);
  if (value == kSoftReset) {
    reset_registers();
    fifo_.clear();
    clock_.stop();
  } else if (value == kFlushFifo) {
    fifo_.clear();
  } else if (value != kExtendedMode && value != 0) {
    at(kError) |= kBadCommand;
  }
}

void Bmp380::set_clock() {
  const int mode = at(kPower) >> 4 & 3;
  const bool measures = (at(kPower) & (kPressureEnabled | kTemperatureEnabled)) != 0;
  if (mode == 0 || !measures) {
    clock_.stop();
  } else if (mode == 3) {
    clock_.set(host().now(), kFastestPeriod << std::min<int>(at(kRate), 17));
  } else {
    clock_.start(host().now(), kFastestPeriod);
  }
}

void Bmp380::update_outputs() {
  constexpr std::uint8_t kActiveHigh = 1 << 1, kLatched = 1 << 2;
  const std::uint8_t control = at(kInterruptControl);
  const int enabled = ((control & 0x40) != 0 ? kDataReady : 0) |
                      ((control & 0x10) != 0 ? kFifoFull : 0) |
                      ((control & 0x08) != 0 ? kFifoAtWatermark : 0);
  const bool active_high = (control & kActiveHigh) != 0;
  const bool pending = (at(kInterruptStatus) & enabled) != 0;
  if (new_sample_ && pending && (control & kLatched) == 0) {
    host().drive_interrupt(!active_high);  // Each sample is an edge, read or not.
  }
  new_sample_ = false;
  host().drive_interrupt(pending == active_high);
  host().wake_at(enabled != 0 ? clock_.next() : std::nullopt);
}

constexpr std::string_view kMeasures[] = {"pressure", "temperature"};
constexpr std::uint8_t kAddresses[] = {0x76, 0x77};

}  // namespace

extern const ChipModel kBmp380 = {
    .name = "bmp380",
    .role = ChipRole::kSensor,
    .compatible = "bosch,bmp380",
    .acpi_id = "",
    .interrupt = ChipInterrupt::kEdgeRising,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Bmp380>,
};

}  // namespace ensemble::device
