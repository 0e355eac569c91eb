#pragma once

#include <optional>
#include <vector>

#include "device-model/machine_description.h"
#include "device-model/placed_chips.h"
#include "device-model/profile.h"

namespace ensemble::device {

// The chips of a product at their places in its machine.
struct ChipPlaces {
  std::vector<PlacedBus> buses;    // A controller for each bus that has chips.
  std::optional<PlacedGpio> gpio;  // If a chip has an interrupt output.
};

// Gives a profile's buses and chips the addresses, interrupts and pins of docs/machine.md. The
// profile is a loaded one.
ChipPlaces place_chips(const Profile& profile);

// Tells `machine` of them, for every encoding of the manifest.
void describe_chips(const ChipPlaces& places, MachineDescription& machine);

}  // namespace ensemble::device
