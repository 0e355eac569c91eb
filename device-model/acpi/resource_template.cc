#include "device-model/acpi/resource_template.h"

#include <utility>

namespace ensemble::device {
namespace {

// Tags of descriptors: small ones with their length, large ones without.
constexpr std::uint8_t kPorts = 0x47;
constexpr std::uint8_t kEnd = 0x79;
constexpr std::uint8_t kFixedMemory = 0x86;
constexpr std::uint8_t kExtendedInterrupt = 0x89;
constexpr std::uint8_t kGpio = 0x8c;
constexpr std::uint8_t kSerialBus = 0x8e;

constexpr std::uint8_t kConsumer = 1;
constexpr std::size_t kLargeHeader = 3;

bool is_edge(Trigger trigger) {
  return trigger == Trigger::kEdgeRising || trigger == Trigger::kEdgeFalling;
}

bool is_low(Trigger trigger) {
  return trigger == Trigger::kLevelLow || trigger == Trigger::kEdgeFalling;
}

}  // namespace

void ResourceTemplate::put(std::uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) {
    bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}

void ResourceTemplate::put_text(std::string_view text) {
  for (const char character : text) {
    bytes_.push_back(static_cast<std::byte>(character));
  }
  bytes_.push_back(std::byte{0});
}

void ResourceTemplate::end_large(std::size_t start) {
  const std::size_t length = bytes_.size() - start - kLargeHeader;
  bytes_[start + 1] = static_cast<std::byte>(length);
  bytes_[start + 2] = static_cast<std::byte>(length >> 8);
}

void ResourceTemplate::memory(std::uint64_t address, std::uint64_t size) {
  if (address > UINT32_MAX || size == 0 || size > UINT32_MAX - address) {
    status_ = fail("registers at {:#x} with {:#x} bytes do not lie below 4 GiB", address, size);
    return;
  }
  constexpr std::uint8_t kWritable = 1;
  const std::size_t start = bytes_.size();
  put(kFixedMemory, kLargeHeader);
  put(kWritable, 1);
  put(address, 4);
  put(size, 4);
  end_large(start);
}

void ResourceTemplate::ports(std::uint16_t first, std::uint8_t count) {
  constexpr std::uint8_t kDecodes16Bits = 1;
  constexpr std::uint8_t kAlignment = 1;
  put(kPorts, 1);
  put(kDecodes16Bits, 1);
  put(first, 2);
  put(first, 2);
  put(kAlignment, 1);
  put(count, 1);
}

void ResourceTemplate::interrupt(std::uint32_t gsi, Trigger trigger) {
  const std::size_t start = bytes_.size();
  put(kExtendedInterrupt, kLargeHeader);
  put(kConsumer | (is_edge(trigger) ? 1u << 1 : 0) | (is_low(trigger) ? 1u << 2 : 0), 1);
  put(1, 1);
  put(gsi, 4);
  end_large(start);
}

void ResourceTemplate::i2c(std::uint8_t address, std::uint32_t speed, std::string_view controller) {
  constexpr std::uint8_t kLargest = 0x7f;
  if (address > kLargest) {
    status_ = fail("{:#x} is no I2C address: they have 7 bits", address);
    return;
  }
  constexpr std::uint8_t kRevision = 2;
  constexpr std::uint8_t kTypeRevision = 1;
  constexpr std::uint8_t kI2cBus = 1;
  constexpr std::uint8_t kConsumerOfBus = 1 << 1;
  constexpr std::uint16_t kTypeDataSize = 6;
  const std::size_t start = bytes_.size();
  put(kSerialBus, kLargeHeader);
  put(kRevision, 1);
  put(0, 1);  // Index of the resource source.
  put(kI2cBus, 1);
  put(kConsumerOfBus, 1);  // The controller starts transfers.
  put(0, 2);               // 7-bit address.
  put(kTypeRevision, 1);
  put(kTypeDataSize, 2);
  put(speed, 4);
  put(address, 2);
  put_text(controller);
  end_large(start);
}

void ResourceTemplate::gpio_interrupt(std::uint16_t pin, Trigger trigger,
                                      std::string_view controller) {
  constexpr std::uint8_t kRevision = 1;
  constexpr std::uint8_t kInterruptConnection = 0;
  constexpr std::uint16_t kPinTable = 0x17;
  const std::size_t start = bytes_.size();
  const auto name_offset = static_cast<std::uint16_t>(kPinTable + sizeof(pin));
  put(kGpio, kLargeHeader);
  put(kRevision, 1);
  put(kInterruptConnection, 1);
  put(kConsumer, 2);
  put((is_edge(trigger) ? 1u : 0) | (is_low(trigger) ? 1u << 1 : 0), 2);
  put(0, 1);  // The pull of the pin: the controller's default.
  put(0, 2);  // Output drive strength.
  put(0, 2);  // Debounce time.
  put(kPinTable, 2);
  put(0, 1);  // Index of the resource source.
  put(name_offset, 2);
  put(name_offset + controller.size() + 1, 2);  // Vendor data, of which there is none.
  put(0, 2);
  put(pin, 2);
  put_text(controller);
  end_large(start);
}

Result<std::vector<std::byte>> ResourceTemplate::finish() {
  if (!status_) {
    return std::unexpected(status_.error());
  }
  put(kEnd, 1);
  put(0, 1);  // No checksum.
  return std::move(bytes_);
}

}  // namespace ensemble::device
