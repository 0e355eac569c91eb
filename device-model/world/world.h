#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ensemble::device {

// What a chip can ask the world for. Axes are the product's: x to the right and y to the top of the
// screen, z out of it.
enum class Quantity : std::uint8_t {
  kAccelerationX,     // m/s², as an accelerometer feels it: lying on a table, z has +9.80665.
  kAccelerationY,     //
  kAccelerationZ,     //
  kAngularVelocityX,  // rad/s, right-handed.
  kAngularVelocityY,
  kAngularVelocityZ,
  kMagneticFieldX,  // T.
  kMagneticFieldY,
  kMagneticFieldZ,
  kIlluminance,         // lx, on the screen's side.
  kProximity,           // m, from the screen to the nearest object.
  kPressure,            // Pa.
  kTemperature,         // K, of the product's inside, which its sensors have.
  kBatteryVoltage,      // V.
  kBatteryCurrent,      // A, into the battery.
  kBatteryLevel,        // Charge as a part of the full charge, 0 to 1.
  kBatteryTemperature,  // K.
  kSupplyVoltage,       // V, at the charging socket; 0: nothing is plugged in.
  kPulseRed,            // Part of a red light-emitting diode's light that the skin returns, 0 to 1.
  kPulseInfrared,       // The same of infrared light.
};

inline constexpr std::size_t kQuantityCount = 20;

// The name of a quantity in recordings, its unit, and its value in a world at rest: a product that
// lies on a table in a lit room, on battery.
struct QuantityFacts {
  std::string_view name;
  std::string_view unit;
  double at_rest;
};
const QuantityFacts& facts_of(Quantity quantity);

// Where measured values come from. A chip asks for them when somebody looks at its registers, and
// then for the instants of its samples, which may lie a little in the past; so a world must be able
// to answer for them in any order, and does nothing by itself.
class World {
 public:
  virtual ~World() = default;

  // The value of `quantity`, in the units above, `time` nanoseconds after the machine was made.
  // Finite. Called with the device lock held; never blocks.
  virtual double measure(Quantity quantity, std::uint64_t time) const = 0;
};

}  // namespace ensemble::device
