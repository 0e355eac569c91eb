// Texas Instruments BQ24190: battery charger. Registers as data sheet SLUSAW5 has them, all of
// which Linux's bq24190_charger uses. It charges while something is plugged in; what flows into the
// battery is the world's business.

#include <array>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kInput = 0x00,
  kPowerOn = 0x01,
  kChargeCurrent = 0x02,
  kTerminationCurrent = 0x03,
  kChargeVoltage = 0x04,
  kTimers = 0x05,
  kThermal = 0x06,
  kOperation = 0x07,
  kStatus = 0x08,
  kFault = 0x09,
  kPart = 0x0A,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {kInput, kInput, 0x30, 0xFF},
    {kPowerOn, kPowerOn, 0x1B, 0x3F},
    {kChargeCurrent, kChargeCurrent, 0x60, 0xFD},
    {kTerminationCurrent, kTerminationCurrent, 0x11, 0xFF},
    {kChargeVoltage, kChargeVoltage, 0xB2, 0xFF},
    {kTimers, kTimers, 0x9A, 0xFF},
    {kThermal, kThermal, 0x03, 0xFF},
    {kOperation, kOperation, 0x4B, 0xF3},
    {kPart, kPart, 0x23, 0},  // Part 4 of the family, revision 3.
};

constexpr std::uint8_t kResetBit = 1 << 7;         // Of kPowerOn.
constexpr std::uint8_t kWatchdogReset = 1 << 6;    // Of kPowerOn.
constexpr std::uint8_t kHighImpedance = 1 << 7;    // Of kInput.
constexpr std::uint8_t kWatchdogExpired = 1 << 7;  // Of kFault.
constexpr std::uint8_t kOverVoltage = 1 << 3;      // Of kFault.

constexpr double kGoodSupply = 3.88;  // V
constexpr double kFreezing = 273.15;  // K
constexpr std::uint64_t kSecond = 1'000'000'000;
// How often what is plugged in is looked at, for interrupts.
constexpr std::uint64_t kLook = kSecond / 2;

class Bq24190 final : public ByteChip {
 public:
  Bq24190(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {
    look(host.now());
    at(kFault) = 0;
  }

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  void advance(std::uint64_t now) override;
  void update_outputs() override;
  void exchange(StateFields& state) override {
    looks_.exchange(state);
    state.past(watchdog_start_);
    state.fields(host_mode_, changed_);
  }

  void look(std::uint64_t time);
  std::uint8_t status_at(std::uint64_t time) const;
  std::uint8_t faults_at(std::uint64_t time) const;
  std::uint64_t watchdog_period() const;

  SampleClock looks_;  // Runs once a driver has written something.
  std::uint64_t watchdog_start_ = 0;
  bool host_mode_ = false;  // A driver writes: the watchdog watches it.
  bool changed_ = false;    // Since the interrupt output was last pulsed.
};

std::uint8_t Bq24190::status_at(std::uint64_t time) const {
  constexpr int kAdapter = 2 << 6, kPowerGood = 1 << 2, kBelowSystemMinimum = 1 << 0;
  const double battery = host().measure(Quantity::kBatteryVoltage, time);
  const double minimum = 3.0 + 0.1 * (at(kPowerOn) >> 1 & 7);
  const int low = battery < minimum ? kBelowSystemMinimum : 0;
  if (host().measure(Quantity::kSupplyVoltage, time) < kGoodSupply) {
    return static_cast<std::uint8_t>(low);
  }
  const int plugged = kAdapter | kPowerGood | low;
  const bool charges = (at(kPowerOn) >> 4 & 3) == 1 && (at(kInput) & kHighImpedance) == 0;
  if (!charges) {
    return static_cast<std::uint8_t>(plugged);
  }
  constexpr int kPreCharge = 1 << 4, kFastCharge = 2 << 4, kDone = 3 << 4;
  if (battery < ((at(kChargeVoltage) & 2) != 0 ? 3.0 : 2.8)) {
    return static_cast<std::uint8_t>(plugged | kPreCharge);
  }
  const double full = 3.504 + 0.016 * (at(kChargeVoltage) >> 2);
  const double recharge = (at(kChargeVoltage) & 1) != 0 ? 0.3 : 0.1;
  const double termination = 0.128 + 0.128 * (at(kTerminationCurrent) & 0x0F);
  const bool terminates = (at(kTimers) & 0x80) != 0;
  const bool done = terminates && battery > full - recharge &&
                    host().measure(Quantity::kBatteryCurrent, time) < termination;
  return static_cast<std::uint8_t>(plugged | (done ? kDone : kFastCharge));
}

std::uint8_t Bq24190::faults_at(std::uint64_t time) const {
  const double temperature = host().measure(Quantity::kBatteryTemperature, time) - kFreezing;
  const double full = 3.504 + 0.016 * (at(kChargeVoltage) >> 2);
  constexpr int kCold = 5, kHot = 6;  // At both sensors.
  const int thermal = temperature < 0 ? kCold : temperature > 60 ? kHot : 0;
  const bool over = host().measure(Quantity::kBatteryVoltage, time) > full * 1.04;
  return static_cast<std::uint8_t>(thermal | (over ? kOverVoltage : 0));
}

// Faults other than the temperature's are kept until they are read.
void Bq24190::look(std::uint64_t time) {
  const std::uint8_t status = status_at(time);
  const std::uint8_t faults = faults_at(time);
  constexpr std::uint8_t kThermal = 7;
  changed_ |= status != at(kStatus) || (faults & ~at(kFault)) != 0;
  at(kStatus) = status;
  at(kFault) = static_cast<std::uint8_t>((at(kFault) & ~kThermal) | faults);
}

std::uint64_t Bq24190::watchdog_period() const {
  switch (at(kTimers) >> 4 & 3) {
    case 1:
      return 40 * kSecond;
    case 2:
      return 80 * kSecond;
    case 3:
      return 160 * kSecond;
    default:
      return 0;
  }
}

void Bq24190::advance(std::uint64_t now) {
  const std::uint64_t period = watchdog_period();
  if (host_mode_ && period != 0 && now - watchdog_start_ >= period) {
    const std::uint8_t input = at(kInput);
    reset_registers();
    at(kInput) = input;
    host_mode_ = false;
    at(kFault) |= kWatchdogExpired;
    changed_ = true;
  }
  looks_.take(now, 1, [](std::uint64_t) {});
  look(now);
}

std::uint8_t Bq24190::load(std::uint8_t address) {
  const std::uint8_t value = at(address);
  if (address == kFault) {
    at(kFault) = faults_at(host().now());
  }
  return value;
}

void Bq24190::store(std::uint8_t address, std::uint8_t value) {
  ByteChip::store(address, value);
  if (address == kPowerOn && (value & kResetBit) != 0) {
    const std::uint8_t status = at(kStatus);
    reset_registers();
    at(kStatus) = status;
  }
  const std::uint64_t now = host().now();
  if (!host_mode_ || (address == kPowerOn && (value & kWatchdogReset) != 0) || address == kTimers) {
    watchdog_start_ = now;
  }
  host_mode_ = true;
  looks_.set(now, kLook);
  look(now);
}

// The output is a short low pulse at each change.
void Bq24190::update_outputs() {
  if (changed_) {
    host().drive_interrupt(false);
  }
  changed_ = false;
  host().drive_interrupt(true);
  // Unless a driver masks all that can be masked, it wants to know.
  const bool listens = (at(kOperation) & 3) != 0;
  host().wake_at(listens ? looks_.next() : std::nullopt);
}

constexpr std::uint8_t kAddresses[] = {0x6A, 0x6B};

}  // namespace

extern const ChipModel kBq24190 = {
    .name = "bq24190",
    .role = ChipRole::kCharger,
    .compatible = "ti,bq24190",
    .acpi_id = "",
    .interrupt = ChipInterrupt::kEdgeFalling,
    .measures = {},
    .addresses = kAddresses,
    .make = make_chip<Bq24190>,
};

}  // namespace ensemble::device
