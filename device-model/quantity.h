#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "vmm/error.h"

namespace ensemble::device {

// A unit that a profile may write behind a number. `scale` is its size in the dimension's base
// unit.
struct Unit {
  std::string_view name;
  std::uint64_t scale;
};

// A kind of measured value: what it is called, an example to show, and its units, smallest first.
struct Dimension {
  std::string_view what;
  std::string_view example;
  std::span<const Unit> units;
};

inline constexpr Unit kByteUnits[] = {
    {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}};
inline constexpr Unit kPixelUnits[] = {{"px", 1}};
inline constexpr Unit kDensityUnits[] = {{"dpi", 1}, {"ppi", 1}};
inline constexpr Unit kFrequencyUnits[] = {{"Hz", 1}, {"kHz", 1'000}, {"MHz", 1'000'000}};
inline constexpr Unit kChargeUnits[] = {{"mAh", 1'000}, {"Ah", 1'000'000}};
inline constexpr Unit kEnergyUnits[] = {{"mWh", 1'000}, {"Wh", 1'000'000}};
inline constexpr Unit kVoltageUnits[] = {{"mV", 1'000}, {"V", 1'000'000}};

inline constexpr Dimension kMemorySize{"an amount of memory", "512 MiB", kByteUnits};  // bytes
inline constexpr Dimension kPixels{"a number of pixels", "1080 px", kPixelUnits};      // pixels
inline constexpr Dimension kDensity{"a pixel density", "420 dpi", kDensityUnits};      // per inch
inline constexpr Dimension kFrequency{"a frequency", "60 Hz", kFrequencyUnits};        // Hz
inline constexpr Dimension kCharge{"an electric charge", "4600 mAh", kChargeUnits};    // µAh
inline constexpr Dimension kEnergy{"an energy", "27 Wh", kEnergyUnits};                // µWh
inline constexpr Dimension kVoltage{"a voltage", "3.87 V", kVoltageUnits};             // µV

// Reads "NUMBER UNIT" (a decimal fraction is allowed, the space may be left out) as a whole number
// of base units. The error says what was expected and what was found.
Result<std::uint64_t> parse_quantity(std::string_view text, const Dimension& dimension);

// A range as "LOW-HIGH UNIT" ("60-120 Hz"), or one value, which is then both ends.
struct QuantityRange {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};
Result<QuantityRange> parse_quantity_range(std::string_view text, const Dimension& dimension);

// `value` base units in the largest unit that shows it as a whole number: "512 MiB".
std::string format_quantity(std::uint64_t value, const Dimension& dimension);

// Reads a whole number, decimal or hexadecimal with "0x". Nothing may precede or follow it.
Result<std::uint64_t> parse_integer(std::string_view text);

}  // namespace ensemble::device
