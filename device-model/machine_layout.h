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

// Registers of machine control that ACPI describes: 8 bits each.
inline constexpr std::uint64_t kSleepControlAddress = kMachineControlAddress + 0x30;
inline constexpr std::uint64_t kSleepStatusAddress = kMachineControlAddress + 0x31;
inline constexpr std::uint64_t kResetAddress = kMachineControlAddress + 0x32;
inline constexpr std::uint8_t kSleepTypeOff = 5;  // The value for S5 in the sleep control register.
inline constexpr std::uint8_t kResetValue = 1;
inline constexpr std::uint64_t kPowerButtonAddress = kMachineControlAddress + 0x33;
inline constexpr std::uint32_t kPowerButtonGsi = 9;

inline constexpr std::uint64_t kLocalApicAddress = 0xFEE0'0000;
// Where no machine control is; docs/machine.md.
inline constexpr std::uint16_t kPowerPort = 0xF4;

inline constexpr std::uint64_t kIoApicAddress = 0xFEC0'0000;
inline constexpr std::uint64_t kIoApicSize = 0x1000;

inline constexpr std::uint64_t kVirtioAddress = 0xD000'1000;  // Of the first virtio device.
inline constexpr std::uint64_t kVirtioStride = 0x1000;        // To the next one.
inline constexpr std::uint64_t kVirtioSize = 0x200;           // Of each one's registers.

// The interrupts of the virtio devices, in order of creation.
inline constexpr auto kVirtioGsis =
    std::to_array<std::uint32_t>({16, 17, 18, 19, 20, 21, 22, 23, 5, 6, 7, 10, 11, 14, 15});
inline constexpr std::size_t kMaximumVirtioDevices = kVirtioGsis.size();

// The I²C controllers of the buses that have chips, and their level-triggered interrupts.
inline constexpr std::uint64_t kI2cAddress = 0xD002'0000;  // Of the first one.
inline constexpr std::uint64_t kI2cSize = 0x1000;          // Of each, and to the next one.
inline constexpr auto kI2cGsis = std::to_array<std::uint32_t>({3, 1});

// The GPIO controller, and the first pin that a chip's interrupt output is connected to.
inline constexpr std::uint64_t kGpioAddress = 0xD003'0000;
inline constexpr std::uint64_t kGpioSize = 0x400;
inline constexpr std::uint32_t kGpioGsi = 12;
inline constexpr std::uint32_t kFirstChipPin = 8;

// The hole that the PC leaves below 1 MiB.
inline constexpr std::uint64_t kLowMemoryEnd = 0xA'0000;
inline constexpr std::uint64_t kHighMemoryStart = 0x10'0000;

// Where the ACPI tables lie, the RSDP first: where guests that are not told look for it.
inline constexpr std::uint64_t kAcpiTablesAddress = 0xE'0000;
inline constexpr std::uint64_t kAcpiTablesSize = 0x2'0000;

inline constexpr std::uint16_t kClockPort = 0x70;
inline constexpr std::uint8_t kClockPortCount = 2;
inline constexpr std::uint32_t kClockGsi = 8;
inline constexpr std::uint8_t kClockCenturyIndex = 0x32;

}  // namespace ensemble::device
