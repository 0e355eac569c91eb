#pragma once

#include <cstdint>

// What the driver of an I²C controller and its clients say to one another.
namespace guest {

// A call to the driver's port is a transfer: a start, bytes to the chip, a repeated start if there
// are bytes of both directions, bytes from the chip, a stop. Transfers are made one after another.
//   m0 = i2c_request(), m1 … = the bytes to the chip, the first in the lowest bits of m1
//   → m0 = I2cStatus, m1 … = the bytes from the chip
inline constexpr std::uint64_t kI2cMostWritten = 32;
inline constexpr std::uint64_t kI2cMostRead = 56;
inline constexpr std::uint64_t kI2cMostCommands = 64;  // bytes of both directions

// `address`: 7 bits. At least one byte goes either way.
constexpr std::uint64_t i2c_request(std::uint64_t address, std::uint64_t written,
                                    std::uint64_t read) {
  return address | written << 8 | read << 16;
}

enum class I2cStatus : std::uint64_t {
  kOk = 0,
  kBadRequest = 1,
  kBusy = 2,           // too many clients wait
  kNoAcknowledge = 3,  // no chip has that address, or it did not take a byte
  kBusError = 4,
  kTimedOut = 5,  // the bus is stuck
};

}  // namespace guest
