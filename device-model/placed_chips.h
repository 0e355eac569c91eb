#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "device-model/chip_catalogue.h"

namespace ensemble::device {

// A chip of the machine, on an I²C bus.
struct PlacedChip {
  std::string name;                  // Of its role in the product: "motion", "fuel-gauge".
  const ChipModel* model = nullptr;  // Never null.
  std::uint8_t address = 0;          // 7 bits.
  // The GPIO controller's pin that its interrupt output is connected to, as model->interrupt says.
  std::optional<std::uint32_t> interrupt_pin = {};
};

// A DesignWare I²C controller of the machine, and the chips on its bus.
struct PlacedBus {
  std::string name;           // Of the bus: "i2c0".
  std::uint64_t address = 0;  // Guest-physical, of its registers.
  std::uint32_t gsi = 0;      // Level-triggered, active high.
  std::uint32_t clock = 0;    // Of the bus, in Hz.
  std::vector<PlacedChip> chips;
};

// The GPIO controller of the machine.
struct PlacedGpio {
  std::uint64_t address = 0;
  std::uint32_t gsi = 0;  // Level-triggered, active high.
};

}  // namespace ensemble::device
