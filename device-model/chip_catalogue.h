#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "device-model/chips/chip_device.h"

namespace ensemble::device {

// What a chip is there for.
enum class ChipRole { kSensor, kFuelGauge, kCharger, kHaptics };

// How a chip's interrupt output is to be understood, and whether it has one that is connected.
enum class ChipInterrupt { kNone, kEdgeRising, kEdgeFalling, kLevelHigh, kLevelLow };

// A chip that a profile may place on an I²C bus. To add one: a file in device-model/chips/ that
// defines its model, and one row in chip_catalogue.cc.
struct ChipModel {
  std::string_view name;  // As profiles write it.
  ChipRole role;
  std::string_view compatible;  // Of its device tree binding.
  // The ACPI ID that drivers know; empty: PRP0001 with `compatible`.
  std::string_view acpi_id;
  // By which a driver knows the part where ACPI says PRP0001, in front of `compatible`: Linux's
  // drivers that have ACPI IDs too go by the first name alone. Empty: `compatible` does it.
  std::string_view acpi_compatible = {};
  ChipInterrupt interrupt;
  // What it senses, in the profile's words; empty for chips that are no sensors.
  std::span<const std::string_view> measures;
  // The 7-bit addresses that its address pins can select.
  std::span<const std::uint8_t> addresses;
  // A chip as after power-on. `host` outlives it.
  std::unique_ptr<ChipDevice> (*make)(ChipHost& host, ChipSettings settings);
};

template <typename Model>
std::unique_ptr<ChipDevice> make_chip(ChipHost& host, ChipSettings settings) {
  return std::make_unique<Model>(host, std::move(settings));
}

std::span<const ChipModel* const> chip_catalogue();

// The model called `name`, or nullptr.
const ChipModel* find_chip(std::string_view name);

// "a sensor", "a fuel gauge".
std::string_view describe(ChipRole role);

}  // namespace ensemble::device
