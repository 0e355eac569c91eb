#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/error.h"

namespace ensemble::device {

// An event as <linux/input.h> has it: types and codes are those of <linux/input-event-codes.h>.
struct InputEvent {
  std::uint16_t type = 0;
  std::uint16_t code = 0;
  std::int32_t value = 0;

  bool operator==(const InputEvent&) const = default;
};

// A key or switch, and what people call it.
struct InputControl {
  std::uint16_t code = 0;
  std::string name;  // "volume-up"; empty: it has none.
};

// An absolute axis: struct input_absinfo without the value.
struct InputAxis {
  std::uint16_t code = 0;
  std::int32_t minimum = 0;
  std::int32_t maximum = 0;
  std::int32_t fuzz = 0;
  std::int32_t flat = 0;
  std::int32_t resolution = 0;  // Units per millimetre.
};

// What an input device tells its driver of itself.
struct InputDescription {
  static constexpr std::size_t kLongestText = 128;  // Bytes of a name or serial number.

  std::string name;
  std::string serial;
  std::uint16_t bus = 0;  // BUS_* of <linux/input.h>; this and what follows: struct input_id.
  std::uint16_t vendor = 0;
  std::uint16_t product = 0;
  std::uint16_t version = 0;
  std::vector<std::uint16_t> properties;  // INPUT_PROP_*
  std::vector<InputControl> keys;
  std::vector<InputControl> switches;
  std::vector<std::uint16_t> relative_axes;
  std::vector<InputAxis> absolute_axes;

  // Null: it has no such axis.
  const InputAxis* axis(std::uint16_t code) const;

  // Texts are short enough, codes exist and are given once, axes are not empty, and what follows
  // several contacts has slots: ABS_MT_SLOT, from 0 to at most 63. The Error names what is not so.
  Result<void> check() const;

  // Whether a driver may be told of `event`, which is no synchronization: its code is one of this
  // device's, and its value within range. The Error names both.
  Result<void> check(const InputEvent& event) const;
};

}  // namespace ensemble::device
