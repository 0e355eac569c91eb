#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "device-model/i2c/i2c_bus.h"
#include "device-model/world/world.h"
#include "vmm/state.h"

namespace ensemble::device {

// What a chip is connected to beside its bus. Called with the device lock held.
class ChipHost {
 public:
  virtual ~ChipHost() = default;

  // Nanoseconds since the machine was made.
  virtual std::uint64_t now() const = 0;

  // What is to be measured, at a time that is not in the future.
  virtual double measure(Quantity quantity, std::uint64_t time) const = 0;

  // The level that the chip drives its interrupt output to.
  virtual void drive_interrupt(bool high) = 0;

  // Has ChipDevice::wake() called once, at `time` or soon after; replaces what was asked for
  // before. A chip asks only while an enabled interrupt of its depends on time: sampling alone
  // needs none.
  virtual void wake_at(std::optional<std::uint64_t> time) = 0;
};

// What a product decides about a chip.
struct ChipSettings {
  std::string tag;  // Unique in the machine: "bmi160@i2c0-68".
  // The battery that fuel gauges measure.
  double full_charge = 3600;   // C.
  double empty_voltage = 3.0;  // V.
  double full_voltage = 4.2;   // V.
};

// A chip on an I²C bus. It computes what its registers say when they are read, from the world and
// the time that has passed; nothing runs meanwhile.
class ChipDevice : public I2cDevice, public vmm::Stateful {
 public:
  // The time that the chip asked for by wake_at has come.
  virtual void wake() = 0;
};

}  // namespace ensemble::device
