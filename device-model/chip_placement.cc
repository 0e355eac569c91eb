#include "device-model/chip_placement.h"

#include "device-model/machine_layout.h"

namespace ensemble::device {
namespace {

// By which Linux binds the drivers of both controllers.
constexpr const char* kI2cHardwareId = "AMDI0010";
constexpr const char* kGpioHardwareId = "AMDI0030";

Trigger trigger_of(ChipInterrupt interrupt) {
  switch (interrupt) {
    case ChipInterrupt::kEdgeFalling:
      return Trigger::kEdgeFalling;
    case ChipInterrupt::kLevelHigh:
      return Trigger::kLevelHigh;
    case ChipInterrupt::kLevelLow:
      return Trigger::kLevelLow;
    case ChipInterrupt::kEdgeRising:
    case ChipInterrupt::kNone:
      break;
  }
  return Trigger::kEdgeRising;
}

ChipNode describe(const PlacedChip& chip) {
  ChipNode node;
  node.hardware_id = chip.model->acpi_id;
  node.compatible = chip.model->compatible;
  node.acpi_compatible = chip.model->acpi_compatible;
  node.address = chip.address;
  if (chip.interrupt_pin) {
    node.interrupt_pin = static_cast<std::uint16_t>(*chip.interrupt_pin);
  }
  node.trigger = trigger_of(chip.model->interrupt);
  return node;
}

}  // namespace

ChipPlaces place_chips(const Profile& profile) {
  ChipPlaces places;
  std::uint32_t next_pin = kFirstChipPin;
  for (const I2cBus& bus : profile.buses) {
    const std::size_t index = places.buses.size();
    PlacedBus node{.name = bus.name, .clock = bus.clock, .chips = {}};
    for (const Chip* chip : profile.chips()) {
      if (chip->bus != bus.name) {
        continue;
      }
      PlacedChip& placed = node.chips.emplace_back(
          PlacedChip{.name = chip->name, .model = chip->model, .address = chip->address});
      if (chip->model->interrupt != ChipInterrupt::kNone) {
        placed.interrupt_pin = next_pin++;
        places.gpio = PlacedGpio{.address = kGpioAddress, .gsi = kGpioGsi};
      }
    }
    if (!node.chips.empty()) {
      node.address = kI2cAddress + index * kI2cSize;
      node.gsi = kI2cGsis.at(index);
      places.buses.push_back(std::move(node));
    }
  }
  return places;
}

void describe_chips(const ChipPlaces& places, MachineDescription& machine) {
  if (places.gpio) {
    machine.gpio = ControllerNode{.hardware_id = kGpioHardwareId,
                                  .address = places.gpio->address,
                                  .size = kGpioSize,
                                  .gsi = places.gpio->gsi,
                                  .trigger = Trigger::kLevelHigh};
  }
  for (const PlacedBus& bus : places.buses) {
    I2cControllerNode node{.controller = {.hardware_id = kI2cHardwareId,
                                          .address = bus.address,
                                          .size = kI2cSize,
                                          .gsi = bus.gsi,
                                          .trigger = Trigger::kLevelHigh},
                           .clock = bus.clock,
                           .chips = {}};
    for (const PlacedChip& chip : bus.chips) {
      node.chips.push_back(describe(chip));
    }
    machine.i2c.push_back(std::move(node));
  }
}

}  // namespace ensemble::device
