#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/lib/format.h"

// Chips on an I²C bus: what programs see of them, and how their drivers are called. The composer
// and the Linux server know the first part only.
namespace chips {

// A file that programs read.
struct Attribute {
  std::string_view name;
  // What it says, without a newline, where that never changes; empty: the driver is asked.
  std::string_view text;
  std::uint32_t channel = 0;  // what the driver is asked for; the driver's own numbers
  bool is_setting = false;    // programs may write it
};

enum class Subsystem : std::uint8_t { kIio, kPowerSupply };

// A directory of such files, named as Linux's driver for the chip names them.
struct ChipDevice {
  Subsystem subsystem;
  std::string_view name;
  std::span<const Attribute> attributes;
};

// A kind of chip, as the manifest and programs know it.
struct ChipModel {
  std::string_view compatible;  // of its device tree binding
  std::span<const ChipDevice> devices;
};

// Beside the driver's own channels: all attributes of device number n in the form of uevent, for n
// from 0 on. Made of the others by what all drivers share.
inline constexpr std::uint32_t kUeventChannel = 0x1'0000;

class Registers;

// How a kind of chip is driven. Both functions run on the driver's thread, return 0 or an errno,
// and may take some tenths of a second.
struct ChipDriver {
  // Makes sure that the chip is there and is the right one, and leaves it asleep.
  int (*probe)(Registers& chip);
  // Writes what `channel` says now, without a newline; the chip is asleep before and after.
  int (*read)(Registers& chip, std::uint32_t channel, guest::TextWriter& text);
  // Sets what `channel`, a setting, says from now on, in 10^-9 of its unit. Null: there is none.
  int (*write)(Registers& chip, std::uint32_t channel, std::int64_t value) = nullptr;
};

}  // namespace chips
