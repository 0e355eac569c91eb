#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "guest-kernel/lib/byte_ring.h"

// What the driver of an input device and its one client share.
namespace guest {

// A call to the driver's port without contents: the driver starts the device, and describes it in
// the shared memory, before it answers DeviceStatus. Until then it does not touch the device.

// An event, stamped by the driver. Type, code and value are Linux's.
struct InputRecord {
  std::uint64_t tsc;
  std::uint16_t type;
  std::uint16_t code;
  std::int32_t value;
};
static_assert(sizeof(InputRecord) == 16);

// An absolute axis.
struct InputAxisRange {
  std::int32_t minimum;
  std::int32_t maximum;
  std::int32_t fuzz;
  std::int32_t flat;
  std::int32_t resolution;
};

inline constexpr std::size_t kInputTextSize = 132;  // 128 bytes and a NUL
inline constexpr std::size_t kInputTypes = 0x20;
inline constexpr std::size_t kInputAxes = 0x40;
inline constexpr std::size_t kInputCodeBytes = 0x300 / 8;  // of the type with the most codes, keys

// What the device says of itself.
struct InputDescription {
  std::array<char, kInputTextSize> name;
  std::array<char, kInputTextSize> serial;
  std::uint16_t bus;
  std::uint16_t vendor;
  std::uint16_t product;
  std::uint16_t version;
  std::array<std::uint8_t, 4> properties;  // a bit for each
  // For each type of event, a bit for each code that the device has.
  std::array<std::array<std::uint8_t, kInputCodeBytes>, kInputTypes> codes;
  std::array<InputAxisRange, kInputAxes> axes;
};

struct InputShared {
  ByteRingHeader events;                 // of InputRecord, from the driver
  std::atomic<std::uint32_t> is_wanted;  // 1: the device was asked for; a driver that is started
                                         // anew starts it at once
  InputDescription description;
};

inline constexpr std::uint64_t kInputEventsOffset = 0x2000;
inline constexpr std::uint64_t kInputEventsSize = 0x1000;  // power of two
inline constexpr std::uint64_t kInputSharedSize = kInputEventsOffset + kInputEventsSize;
static_assert(sizeof(InputShared) <= kInputEventsOffset);

}  // namespace guest
