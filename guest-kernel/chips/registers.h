#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/lib/system_call.h"

namespace chips {

// A chip's registers, one byte each behind 8-bit addresses, over its I²C bus. Functions return 0 or
// an errno: ENXIO where nobody acknowledges, ETIMEDOUT where the bus is stuck, EIO.
class Registers {
 public:
  // `bus`: the port of the bus's driver. `address`: 7 bits. From `first_slot` on there are three
  // slots to use.
  Registers(guest::Slot bus, std::uint8_t address, guest::Slot first_slot)
      : bus_(bus), address_(address), first_slot_(first_slot) {}

  // From `address` on, as many as `bytes` has room for: at most 32.
  int read(std::uint8_t address, std::span<std::uint8_t> bytes);
  int write(std::uint8_t address, std::uint8_t value);

  // ENODEV unless the bits of `mask` in the register are `value`.
  int expect(std::uint8_t address, std::uint8_t value, std::uint8_t mask = 0xff);
  // Looks every `pause` ns until that holds; EIO if it never does within `limit` ns.
  int wait_until(std::uint8_t address, std::uint8_t value, std::uint8_t mask, std::uint64_t pause,
                 std::uint64_t limit);
  // Returns after so many ns; 0, or EIO where there can be no timer.
  int sleep(std::uint64_t duration);

 private:
  guest::Slot bus_;
  std::uint8_t address_;
  guest::Slot first_slot_;  // of a port, its timer, and the right to signal it
  bool has_timer_ = false;
};

// Numbers in a chip's registers.
constexpr std::uint16_t low_first(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8);
}
constexpr std::int16_t signed_low_first(std::span<const std::uint8_t> bytes) {
  return static_cast<std::int16_t>(low_first(bytes));
}
constexpr std::uint16_t high_first(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

}  // namespace chips
