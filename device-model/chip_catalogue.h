#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace ensemble::device {

// What a chip is there for.
enum class ChipRole { kSensor, kFuelGauge, kCharger, kHaptics };

// A chip that a profile may place on an I²C bus. To add one: one row in chip_catalogue.cc.
struct ChipModel {
  std::string_view name;  // As profiles write it.
  ChipRole role;
  std::string_view compatible;  // Of its device tree binding.
  // What it senses, in the profile's words; empty for chips that are no sensors.
  std::span<const std::string_view> measures;
  // The 7-bit addresses that its address pins can select.
  std::span<const std::uint8_t> addresses;
};

std::span<const ChipModel> chip_catalogue();

// The model called `name`, or nullptr.
const ChipModel* find_chip(std::string_view name);

// "a sensor", "a fuel gauge".
std::string_view describe(ChipRole role);

}  // namespace ensemble::device
