#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// Where things are in every machine, as docs/machine.md lays down.
namespace ensemble::device {

inline constexpr std::uint16_t kSerialPort = 0x3F8;
inline constexpr std::uint16_t kSerialPortCount = 8;
inline constexpr std::uint32_t kSerialGsi = 4;

inline constexpr std::uint64_t kMachineControlAddress = 0xD000'0000;
inline constexpr std::uint64_t kMachineControlSize = 0x1000;

inline constexpr std::uint64_t kIoApicAddress = 0xFEC0'0000;
inline constexpr std::uint64_t kIoApicSize = 0x1000;

inline constexpr std::uint64_t kVirtioAddress = 0xD000'1000;  // Of the first virtio device.
inline constexpr std::uint64_t kVirtioStride = 0x1000;        // To the next one.
inline constexpr std::uint64_t kVirtioSize = 0x200;           // Of each one's registers.

// The interrupts of the virtio devices, in order of creation.
inline constexpr auto kVirtioGsis =
    std::to_array<std::uint32_t>({16, 17, 18, 19, 20, 21, 22, 23, 5, 6, 7, 10, 11, 14, 15});
inline constexpr std::size_t kMaximumVirtioDevices = kVirtioGsis.size();

// The hole that the PC leaves below 1 MiB.
inline constexpr std::uint64_t kLowMemoryEnd = 0xA'0000;
inline constexpr std::uint64_t kHighMemoryStart = 0x10'0000;

}  // namespace ensemble::device
