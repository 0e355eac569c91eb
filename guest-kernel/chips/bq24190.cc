// Texas Instruments BQ24190: battery charger (data sheet SLUSAW5). Files as Linux's bq24190_charger
// has them. It charges as its own settings say; nothing is written to it, so that its watchdog
// waits for nobody.

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kInput = 0x00,
  kPowerOn = 0x01,
  kChargeCurrent = 0x02,
  kTerminationCurrent = 0x03,
  kChargeVoltage = 0x04,
  kThermal = 0x06,
  kOperation = 0x07,
  kStatus = 0x08,
  kFault = 0x09,
  kPart = 0x0a,
};

constexpr unsigned kPowerGood = 1 << 2;           // of kStatus
constexpr unsigned kBatteryCutOff = 1 << 5;       // of kOperation
constexpr unsigned kBatteryOverVoltage = 1 << 3;  // of kFault

enum Channel : std::uint32_t {
  kChargeType,
  kHealth,
  kOnline,
  kChargingStatus,
  kHottest,
  kPrechargeCurrent,
  kTerminates,
  kCurrent,
  kVoltage,
  kInputLimit,
};

constexpr Attribute kAttributes[] = {
    {"type", "USB"},
    {"charge_type", {}, kChargeType},
    {"health", {}, kHealth},
    {"online", {}, kOnline},
    {"status", {}, kChargingStatus},
    {"temp_alert_max", {}, kHottest},
    {"precharge_current", {}, kPrechargeCurrent},
    {"charge_term_current", {}, kTerminates},
    {"constant_charge_current", {}, kCurrent},
    {"constant_charge_current_max", "4544000"},
    {"constant_charge_voltage", {}, kVoltage},
    {"constant_charge_voltage_max", "4400000"},
    {"input_current_limit", {}, kInputLimit},
    {"scope", "System"},
    {"model_name", "bq24190"},
    {"manufacturer", "Texas Instruments"},
    {"uevent", {}, kUeventChannel},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kPowerSupply, "bq24190-charger", kAttributes}};

int probe(Registers& chip) {
  return chip.expect(kPart, 4 << 3, 7 << 3);
}

using Contents = std::array<std::uint8_t, kPart>;  // of the registers up to kFault

std::string_view charging_status(const Contents& at) {
  const bool has_fault = (at[kFault] >> 4 & 3) != 0;
  if ((at[kStatus] & kPowerGood) == 0 || has_fault) {
    return "Discharging";
  }
  const unsigned phase = at[kStatus] >> 4 & 3;
  return phase == 0 ? "Not charging" : phase == 3 ? "Full" : "Charging";
}

std::string_view health(const Contents& at) {
  const unsigned thermal = at[kFault] & 7;
  const unsigned charge = at[kFault] >> 4 & 3;
  if (thermal != 0) {
    return thermal % 2 != 0 ? "Cold" : "Overheat";
  }
  if ((at[kFault] & kBatteryOverVoltage) != 0) {
    return "Over voltage";
  }
  return charge == 0   ? "Good"
         : charge == 1 ? "Unspecified failure"
         : charge == 2 ? "Overheat"
                       : "Safety timer expire";
}

std::string_view charge_type(const Contents& at) {
  const bool charges = (at[kPowerOn] >> 4 & 3) != 0;
  return !charges ? "N/A" : (at[kChargeCurrent] & 1) != 0 ? "Trickle" : "Fast";
}

// µA, µV, tenths of a degree Celsius.
std::uint32_t number(const Contents& at, std::uint32_t channel) {
  constexpr std::uint32_t kInputLimits[] = {100, 150, 500, 900, 1200, 1500, 2000, 3000};  // mA
  switch (channel) {
    case kOnline:
      return (at[kStatus] & kPowerGood) != 0 && (at[kOperation] & kBatteryCutOff) == 0 ? 1 : 0;
    case kHottest:
      return 600 + 200 * (at[kThermal] & 3U);
    case kPrechargeCurrent:
      return 128'000 * ((at[kTerminationCurrent] >> 4) + 1U);
    case kTerminates:
      return 128'000 * ((at[kTerminationCurrent] & 0x0fU) + 1U);
    case kCurrent:
      return 512'000 + 64'000 * (at[kChargeCurrent] >> 2U);
    case kVoltage:
      return 3'504'000 + 16'000 * (at[kChargeVoltage] >> 2U);
    default:
      return kInputLimits[at[kInput] & 7] * 1000;
  }
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  Contents at{};
  if (const int error = chip.read(kInput, at)) {
    return error;
  }
  switch (channel) {
    case kChargeType:
      text.text(charge_type(at));
      break;
    case kHealth:
      text.text(health(at));
      break;
    case kChargingStatus:
      text.text(charging_status(at));
      break;
    default:
      text.decimal(number(at, channel));
      break;
  }
  return 0;
}

}  // namespace

extern const ChipModel bq24190_model = {"ti,bq24190", kDevices};
extern const ChipDriver bq24190_driver = {probe, read};

}  // namespace chips
