#include "device-model/world/world.h"

#include <array>

namespace ensemble::device {
namespace {

constexpr auto kFacts = std::to_array<QuantityFacts>({
    {"acceleration.x", "m/s2", 0},
    {"acceleration.y", "m/s2", 0},
    {"acceleration.z", "m/s2", 9.80665},
    {"angular-velocity.x", "rad/s", 0},
    {"angular-velocity.y", "rad/s", 0},
    {"angular-velocity.z", "rad/s", 0},
    {"magnetic-field.x", "T", 0},
    {"magnetic-field.y", "T", 20e-6},
    {"magnetic-field.z", "T", -44e-6},
    {"illuminance", "lx", 300},
    {"proximity", "m", 1},
    {"pressure", "Pa", 101325},
    {"temperature", "K", 298.15},
    {"battery-voltage", "V", 3.85},
    {"battery-current", "A", -0.12},
    {"battery-level", "1", 0.8},
    {"battery-temperature", "K", 301.15},
    {"supply-voltage", "V", 0},
    {"pulse.red", "1", 0.2},
    {"pulse.infrared", "1", 0.3},
});
static_assert(kFacts.size() == kQuantityCount);

}  // namespace

const QuantityFacts& facts_of(Quantity quantity) {
  return kFacts.at(static_cast<std::size_t>(quantity));
}

}  // namespace ensemble::device
