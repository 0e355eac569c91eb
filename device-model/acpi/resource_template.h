#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "device-model/machine_description.h"
#include "vmm/error.h"

namespace ensemble::device {

// The resources of a device as _CRS lists them (ACPI 6.4, section 6.4), in the order of the calls.
// The first failure sticks; finish() reports it.
class ResourceTemplate {
 public:
  // Registers in memory, below 4 GiB.
  void memory(std::uint64_t address, std::uint64_t size);
  // I/O ports.
  void ports(std::uint16_t first, std::uint8_t count);
  // An interrupt of the I/O APIC that no other device has.
  void interrupt(std::uint32_t gsi, Trigger trigger);
  // An address of the I2C bus of `controller` (an absolute path), at `speed` Hz.
  void i2c(std::uint8_t address, std::uint32_t speed, std::string_view controller);
  // An interrupt that comes by the pin of a GPIO controller (an absolute path).
  void gpio_interrupt(std::uint16_t pin, Trigger trigger, std::string_view controller);

  // With the end tag.
  Result<std::vector<std::byte>> finish();

 private:
  void put(std::uint64_t value, unsigned size);
  void put_text(std::string_view text);
  // Writes the length of the large descriptor that began at `start`.
  void end_large(std::size_t start);

  std::vector<std::byte> bytes_;
  Result<void> status_;
};

}  // namespace ensemble::device
