// Maxim MAX17047: fuel gauge. Files as Linux's max17042_battery has them, for a sense resistor of
// 10 mΩ. The chip always runs: that is its task, and reading it changes nothing.

#include <asm/errno.h>

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

// Of 16 bits, the low byte first. Also the channels, where a register is what a file says.
enum Register : std::uint8_t {
  kStatus = 0x00,
  kRemainingCapacity = 0x05,
  kStateOfCharge = 0x06,
  kTemperature = 0x08,
  kVoltage = 0x09,
  kCurrent = 0x0a,
  kAverageCurrent = 0x0b,
  kFullCapacity = 0x10,
  kTimeToEmpty = 0x11,
  kCycles = 0x17,
  kDesignCapacity = 0x18,
  kAverageVoltage = 0x19,
  kExtremeVoltages = 0x1b,
  kVersion = 0x21,
  kEmptyVoltage = 0x3a,
  kCoulombCounter = 0x4d,
  kOpenCircuitVoltage = 0xfb,
};
enum Channel : std::uint32_t { kChargingStatus = 0x100, kPresent, kHighestVoltage, kLowestVoltage };

constexpr std::uint16_t kAbsent = 1 << 3;  // of kStatus
constexpr std::uint16_t kNever = 0xffff;   // of kTimeToEmpty
constexpr std::uint16_t kAlmostFull = 10;  // steps of capacity

constexpr Attribute kAttributes[] = {
    {"type", "Battery"},
    {"status", {}, kChargingStatus},
    {"present", {}, kPresent},
    {"technology", "Li-ion"},
    {"cycle_count", {}, kCycles},
    {"voltage_max", {}, kHighestVoltage},
    {"voltage_min", {}, kLowestVoltage},
    {"voltage_min_design", {}, kEmptyVoltage},
    {"voltage_now", {}, kVoltage},
    {"voltage_avg", {}, kAverageVoltage},
    {"voltage_ocv", {}, kOpenCircuitVoltage},
    {"capacity", {}, kStateOfCharge},
    {"charge_full_design", {}, kDesignCapacity},
    {"charge_full", {}, kFullCapacity},
    {"charge_now", {}, kRemainingCapacity},
    {"charge_counter", {}, kCoulombCounter},
    {"temp", {}, kTemperature},
    {"scope", "System"},
    {"time_to_empty_now", {}, kTimeToEmpty},
    {"current_now", {}, kCurrent},
    {"current_avg", {}, kAverageCurrent},
    {"uevent", {}, kUeventChannel},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kPowerSupply, "max170xx_battery", kAttributes}};

int read_word(Registers& chip, std::uint8_t address, std::uint16_t& word) {
  std::array<std::uint8_t, 2> bytes{};
  const int error = chip.read(address, bytes);
  word = low_first(bytes);
  return error;
}

int probe(Registers& chip) {
  std::uint16_t version = 0;
  const int error = read_word(chip, kVersion, version);
  return error != 0 || version == 0x00ac ? error : ENODEV;
}

int read_charging_status(Registers& chip, guest::TextWriter& text) {
  std::uint16_t full = 0;
  std::uint16_t now = 0;
  std::uint16_t current = 0;
  int error = read_word(chip, kFullCapacity, full);
  error = error != 0 ? error : read_word(chip, kRemainingCapacity, now);
  error = error != 0 ? error : read_word(chip, kCurrent, current);
  const auto flow = static_cast<std::int16_t>(current);
  text.text(flow < 0                    ? "Discharging"
            : now + kAlmostFull >= full ? "Full"
            : flow > 0                  ? "Charging"
                                        : "Not charging");
  return error;
}

// µV, µA, µAh, tenths of a degree Celsius, seconds, per cent.
int convert(std::uint32_t channel, std::uint16_t word, guest::TextWriter& text) {
  const std::int64_t number = static_cast<std::int16_t>(word);
  switch (channel) {
    case kVoltage:
    case kAverageVoltage:
    case kOpenCircuitVoltage:
      text.decimal(std::uint64_t{word} * 625 / 8);
      return 0;
    case kCurrent:
    case kAverageCurrent:
      put_integer(text, number * 15625 / 100);
      return 0;
    case kRemainingCapacity:
    case kFullCapacity:
    case kDesignCapacity:
      text.decimal(std::uint64_t{word} * 500);
      return 0;
    case kCoulombCounter:
      put_integer(text, number * 500);
      return 0;
    case kTemperature:
      put_integer(text, number * 10 / 256);
      return 0;
    case kStateOfCharge:
      text.decimal(word >> 8);
      return 0;
    case kEmptyVoltage:
      text.decimal(std::uint64_t{word} / 128 * 10'000);
      return 0;
    case kTimeToEmpty:
      text.decimal(std::uint64_t{word} * 5625 / 1000);
      return word == kNever ? ENODATA : 0;
    default:
      text.decimal(word);
      return 0;
  }
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  std::uint16_t word = 0;
  int error = 0;
  switch (channel) {
    case kChargingStatus:
      return read_charging_status(chip, text);
    case kPresent:
      error = read_word(chip, kStatus, word);
      text.decimal((word & kAbsent) != 0 ? 0 : 1);
      return error;
    case kHighestVoltage:
      error = read_word(chip, kExtremeVoltages, word);
      text.decimal((word >> 8) * 20'000ULL);
      return error;
    case kLowestVoltage:
      error = read_word(chip, kExtremeVoltages, word);
      text.decimal((word & 0xff) * 20'000ULL);
      return error;
    default:
      error = read_word(chip, static_cast<std::uint8_t>(channel), word);
      return error != 0 ? error : convert(channel, word, text);
  }
}

}  // namespace

extern const ChipModel max17047_model = {"maxim,max17047", kDevices};
extern const ChipDriver max17047_driver = {probe, read};

}  // namespace chips
