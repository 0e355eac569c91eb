#pragma once

#include <array>
#include <cstdint>

namespace ensemble::device {

enum class I2cDirection : std::uint8_t { kWrite, kRead };

// A device on an I²C bus (NXP UM10204), as the wires show it. Called with the device lock held.
class I2cDevice {
 public:
  virtual ~I2cDevice() = default;

  // A start, or a repeated one, with this device's address. False: it does not acknowledge.
  virtual bool start(I2cDirection direction) = 0;
  // A byte from the controller. False: it is not acknowledged.
  virtual bool write(std::uint8_t value) = 0;
  // A byte for the controller.
  virtual std::uint8_t read() = 0;
  // The end of the transfer.
  virtual void stop() = 0;
};

// The devices of an I²C bus by their 7-bit addresses.
class I2cAddresses {
 public:
  // Gives `address` to `device`, which is not owned. False: another one has it.
  bool insert(std::uint8_t address, I2cDevice& device) {
    I2cDevice*& place = devices_[address & kMask];
    if (place != nullptr) {
      return false;
    }
    place = &device;
    return true;
  }

  // Null: nobody acknowledges that address.
  I2cDevice* find(std::uint8_t address) const { return devices_[address & kMask]; }

 private:
  static constexpr std::uint8_t kMask = 0x7F;
  std::array<I2cDevice*, 128> devices_{};
};

}  // namespace ensemble::device
