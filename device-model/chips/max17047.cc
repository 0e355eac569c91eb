// Maxim MAX17047: fuel gauge. Registers as its data sheet and Linux's max17042_battery have them,
// in the state in which a product's firmware leaves it: configured for the product's cell and a
// sense resistor of 10 mΩ, power-on reset acknowledged.

#include <algorithm>
#include <array>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kStatus = 0x00,
  kVoltageAlert = 0x01,
  kTemperatureAlert = 0x02,
  kChargeAlert = 0x03,
  kRemainingCapacity = 0x05,
  kStateOfCharge = 0x06,
  kTemperature = 0x08,
  kVoltage = 0x09,
  kCurrent = 0x0A,
  kAverageCurrent = 0x0B,
  kMixedStateOfCharge = 0x0D,
  kAverageStateOfCharge = 0x0E,
  kMixedCapacity = 0x0F,
  kFullCapacity = 0x10,
  kTimeToEmpty = 0x11,
  kAverageTemperature = 0x16,
  kDesignCapacity = 0x18,
  kAverageVoltage = 0x19,
  kExtremeTemperatures = 0x1A,
  kExtremeVoltages = 0x1B,
  kExtremeCurrents = 0x1C,
  kConfiguration = 0x1D,
  kAverageCapacity = 0x1F,
  kVersion = 0x21,
  kNominalCapacity = 0x23,
  kFirstCapacity = 0x35,
  kEmptyVoltage = 0x3A,
  kCoulombCounter = 0x4D,
  kModelLock1 = 0x62,
  kModelLock2 = 0x63,
  kModel = 0x80,
  kModelEnd = 0xB0,
  kOpenCircuitVoltage = 0xFB,
  kVoltageStateOfCharge = 0xFF,
};

constexpr RegisterRow<std::uint16_t> kRows[] = {
    {0x00, 0x00, 0x0000, 0xFFFF},
    {0x01, 0x01, 0xFF00, 0xFFFF},
    {0x02, 0x02, 0x7F80, 0xFFFF},
    {0x03, 0x03, 0xFF00, 0xFFFF},
    {0x04, 0x04, 0, 0xFFFF},
    {0x07, 0x07, 0x6400, 0xFFFF},  // Age: 100 %.
    {0x10, 0x10, 0, 0xFFFF},
    {0x12, 0x12, 0x3C00, 0xFFFF},
    {0x13, 0x13, 0x5F05, 0xFFFF},
    {0x14, 0x15, 0, 0},
    {0x17, 0x18, 0, 0xFFFF},
    {0x1A, 0x1A, 0x807F, 0xFFFF},
    {0x1B, 0x1B, 0x00FF, 0xFFFF},
    {0x1C, 0x1C, 0x807F, 0xFFFF},
    {0x1D, 0x1D, 0x2310, 0xFFFF},
    {0x1E, 0x1E, 0x03C0, 0xFFFF},
    {0x21, 0x21, 0x00AC, 0},
    {0x22, 0x22, 0x1B00, 0xFFFF},
    {0x23, 0x23, 0, 0xFFFF},
    {0x24, 0x24, 0x1400, 0xFFFF},
    {0x25, 0x25, 0x2305, 0xFFFF},
    {0x28, 0x28, 0x2602, 0xFFFF},
    {0x29, 0x29, 0x4EA4, 0xFFFF},
    {0x2A, 0x2A, 0x203B, 0xFFFF},
    {0x2B, 0x2B, 0x0870, 0xFFFF},
    {0x2C, 0x2C, 0xE3E1, 0xFFFF},
    {0x2D, 0x2D, 0x290E, 0xFFFF},
    {0x2E, 0x2E, 0x4000, 0xFFFF},
    {0x2F, 0x2F, 0, 0xFFFF},
    {0x32, 0x32, 0x0B04, 0xFFFF},
    {0x33, 0x33, 0, 0xFFFF},
    {0x35, 0x35, 0, 0xFFFF},
    {0x36, 0x36, 0x0780, 0xFFFF},
    {0x37, 0x37, 0x05E0, 0xFFFF},
    {0x38, 0x38, 0x004B, 0xFFFF},
    {0x39, 0x39, 0x262B, 0xFFFF},
    {0x3A, 0x3A, 0, 0xFFFF},
    {0x3B, 0x3B, 0x0781, 0xFFFF},
    {0x3C, 0x3C, 0x1680, 0xFFFF},
    {0x3D, 0x3D, 0x0001, 0},
    {0x3F, 0x3F, 0, 0xFFFF},
    {0x42, 0x42, 0x0885, 0xFFFF},
    {0x45, 0x46, 0, 0xFFFF},
    {0x48, 0x48, 0, 0xFFFF},
    {0x60, 0x60, 0, 0xFFFF},
    {0x62, 0x63, 0, 0xFFFF},
    {kModel, kModelEnd - 1, 0, 0xFFFF},
};

constexpr std::uint64_t kTaskPeriod = 175'800'000;  // ns
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kCurrentWindow = 11 * kSecond;
constexpr std::uint64_t kVoltageWindow = 45 * kSecond;

constexpr double kSenseResistor = 0.010;    // Ω
constexpr double kVoltageStep = 78.125e-6;  // V
constexpr double kCurrentStep = 1.5625e-6 / kSenseResistor;
constexpr double kCapacityStep = 5e-6 * 3600 / kSenseResistor;  // C
constexpr double kTimeStep = 5.625;                             // s
constexpr double kFreezing = 273.15;                            // K

constexpr std::uint16_t kAlertsEnabled = 1 << 2;  // Of kConfiguration.

// Of kStatus: below the minimum and above the maximum.
struct AlertBits {
  std::uint16_t below;
  std::uint16_t above;
};
constexpr AlertBits kVoltageBits{1 << 8, 1 << 12};
constexpr AlertBits kTemperatureBits{1 << 9, 1 << 13};
constexpr AlertBits kChargeBits{1 << 10, 1 << 14};
constexpr std::uint16_t kAllAlerts = 0x7700;

std::uint16_t packed(int high, int low) {
  return static_cast<std::uint16_t>((high & 0xFF) << 8 | (low & 0xFF));
}
int high_byte(std::uint16_t word) {
  return static_cast<std::int8_t>(word >> 8);
}
int low_byte(std::uint16_t word) {
  return static_cast<std::int8_t>(word & 0xFF);
}

class Max17047 final : public WordChip {
 public:
  Max17047(ChipHost& host, ChipSettings settings) : WordChip(host, std::move(settings), kRows) {
    const auto capacity = quantize<std::uint16_t>(this->settings().full_charge, kCapacityStep);
    for (const std::uint8_t address :
         {kFullCapacity, kDesignCapacity, kNominalCapacity, kFirstCapacity}) {
      at(address) = capacity;
    }
    // 10 mV in the upper nine bits, and where to recover in steps of 40 mV.
    const auto empty = quantize<std::uint16_t>(this->settings().empty_voltage, 0.010);
    const auto recovery = quantize<std::uint16_t>(this->settings().empty_voltage + 0.5, 0.040);
    at(kEmptyVoltage) = static_cast<std::uint16_t>((empty & 0x1FF) << 7 | (recovery & 0x7F));
    clock_.start(host.now(), kTaskPeriod);
    sample(host.now());
    first_level_ = at(kRemainingCapacity);
  }

 private:
  std::uint16_t load(std::uint8_t address) override;
  void advance(std::uint64_t now) override {
    // Extremes of a longer silence are those of its end.
    constexpr std::uint64_t kHistory = 256;
    clock_.take(now, kHistory, [this](std::uint64_t time) { sample(time); });
  }
  void update_outputs() override;
  void exchange(StateFields& state) override {
    clock_.exchange(state);
    state.field(first_level_);
  }

  void sample(std::uint64_t time);
  void keep_extremes(std::uint8_t address, int value);
  void check(std::uint8_t thresholds, AlertBits bits, double value, double step, bool is_signed);
  double average(Quantity quantity, std::uint64_t window) const;
  std::uint16_t time_to_empty() const;

  SampleClock clock_;
  std::uint16_t first_level_ = 0;  // Remaining capacity when the coulomb counter began at zero.
};

void Max17047::sample(std::uint64_t time) {
  const auto measure = [&](Quantity quantity) { return host().measure(quantity, time); };
  const double level = std::clamp(measure(Quantity::kBatteryLevel), 0.0, 1.0);
  const double voltage = measure(Quantity::kBatteryVoltage);
  const double temperature = measure(Quantity::kBatteryTemperature) - kFreezing;
  const double current = measure(Quantity::kBatteryCurrent);

  const auto charge = quantize<std::uint16_t>(level * 100, 1.0 / 256);
  const auto capacity = quantize<std::uint16_t>(level * at(kFullCapacity), 1);
  for (const std::uint8_t address :
       {kStateOfCharge, kMixedStateOfCharge, kAverageStateOfCharge, kVoltageStateOfCharge}) {
    at(address) = charge;
  }
  for (const std::uint8_t address : {kRemainingCapacity, kMixedCapacity, kAverageCapacity}) {
    at(address) = capacity;
  }
  at(kCoulombCounter) = static_cast<std::uint16_t>(capacity - first_level_);
  at(kVoltage) = quantize<std::uint16_t>(voltage, kVoltageStep);
  at(kOpenCircuitVoltage) = at(kVoltage);
  at(kTemperature) = as_word(quantize<std::int16_t>(temperature, 1.0 / 256));
  at(kCurrent) = as_word(quantize<std::int16_t>(current, kCurrentStep));

  keep_extremes(kExtremeTemperatures, quantize<std::int8_t>(temperature, 1));
  keep_extremes(kExtremeCurrents, quantize<std::int8_t>(current * kSenseResistor, 0.4e-3));
  const int steps = quantize<std::uint8_t>(voltage, 0.020);
  at(kExtremeVoltages) = packed(std::max(at(kExtremeVoltages) >> 8, steps),
                                std::min(at(kExtremeVoltages) & 0xFF, steps));

  check(kVoltageAlert, kVoltageBits, voltage, 0.020, false);
  check(kTemperatureAlert, kTemperatureBits, temperature, 1, true);
  check(kChargeAlert, kChargeBits, level * 100, 1, false);
}

void Max17047::keep_extremes(std::uint8_t address, int value) {
  at(address) =
      packed(std::max(high_byte(at(address)), value), std::min(low_byte(at(address)), value));
}

void Max17047::check(std::uint8_t thresholds, AlertBits bits, double value, double step,
                     bool is_signed) {
  const std::uint16_t word = at(thresholds);
  const int most = is_signed ? high_byte(word) : word >> 8;
  const int least = is_signed ? low_byte(word) : word & 0xFF;
  // The outermost thresholds switch an alert off.
  const bool watches_most = most != (is_signed ? 127 : 255);
  if (watches_most && value > most * step) {
    at(kStatus) |= bits.above;
  }
  if (value < least * step) {
    at(kStatus) |= bits.below;
  }
}

double Max17047::average(Quantity quantity, std::uint64_t window) const {
  constexpr std::uint64_t kParts = 8;
  const std::uint64_t now = host().now();
  double sum = 0;
  for (std::uint64_t i = 0; i < kParts; ++i) {
    const std::uint64_t ago = window * i / kParts;
    sum += host().measure(quantity, now > ago ? now - ago : 0);
  }
  return sum / kParts;
}

std::uint16_t Max17047::time_to_empty() const {
  const double current = average(Quantity::kBatteryCurrent, kCurrentWindow);
  if (current >= 0) {
    return 0xFFFF;
  }
  return quantize<std::uint16_t>(at(kRemainingCapacity) * kCapacityStep / -current, kTimeStep);
}

std::uint16_t Max17047::load(std::uint8_t address) {
  const bool unlocked = at(kModelLock1) == 0x59 && at(kModelLock2) == 0xC4;
  if (address >= kModel && address < kModelEnd && !unlocked) {
    return 0;
  }
  switch (address) {
    case kAverageCurrent:
      return as_word(
          quantize<std::int16_t>(average(Quantity::kBatteryCurrent, kCurrentWindow), kCurrentStep));
    case kAverageVoltage:
      return quantize<std::uint16_t>(average(Quantity::kBatteryVoltage, kVoltageWindow),
                                     kVoltageStep);
    case kAverageTemperature:
      return at(kTemperature);
    case kTimeToEmpty:
      return time_to_empty();
    default:
      return at(address);
  }
}

// The alert output is open-drain: low while an alert stands.
void Max17047::update_outputs() {
  const bool enabled = (at(kConfiguration) & kAlertsEnabled) != 0;
  host().drive_interrupt(!enabled || (at(kStatus) & kAllAlerts) == 0);
  host().wake_at(enabled ? clock_.next() : std::nullopt);
}

constexpr std::uint8_t kAddresses[] = {0x36};

}  // namespace

extern const ChipModel kMax17047 = {
    .name = "max17047",
    .role = ChipRole::kFuelGauge,
    .compatible = "maxim,max17047",
    .acpi_id = "MAX17047",
    .interrupt = ChipInterrupt::kLevelLow,
    .measures = {},
    .addresses = kAddresses,
    .make = make_chip<Max17047>,
};

}  // namespace ensemble::device
