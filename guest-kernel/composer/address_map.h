#pragma once

#include <cstdint>

#include "guest-kernel/abi/boot_info.h"

// The composer's own address space and capability slots, and where it puts things in other domains.
namespace composer {

// Own mappings: in the 2 MiB of the composer's image where they fit, so that they need no page
// table of their own. A page table costs more than the mapping where ring 0 is slow.
inline constexpr std::uint64_t kSmallPackageAddress = 0x48'0000;
inline constexpr std::uint64_t kSmallPackageSize = 0x10'0000;
inline constexpr std::uint64_t kManifestAddress = 0x58'0000;
inline constexpr std::uint64_t kManifestSize = 0x7'0000;
inline constexpr std::uint64_t kTimePageAddress = 0x5f'0000;
inline constexpr std::uint64_t kMachineControlAddress = 0x5f'1000;
inline constexpr std::uint64_t kMemoryAddress = 0x60'0000;  // a multiple of 2 MiB
inline constexpr std::uint64_t kLargePackageAddress = 0x1'0000'0000;

// In a domain of drivers: a slice of address space each; four share a page table.
inline constexpr std::uint64_t kProgramsAddress = 0x1000'0000;
inline constexpr std::uint64_t kProgramSlice = 0x8'0000;
inline constexpr std::uint64_t kRegistersInSlice = 0x7'e000;
inline constexpr std::uint64_t kRegistersSize = 0x2000;
// In the Linux server's domain: the program, the boot package's archive and the memory shared with
// the first drivers share a page table where they fit.
inline constexpr std::uint64_t kServerAddress = 0x1000'0000;
inline constexpr std::uint64_t kServerSize = 0x10'0000;
inline constexpr std::uint64_t kServerSmallArchiveAddress = 0x1010'0000;
inline constexpr std::uint64_t kServerSmallArchiveSize = 0x8'0000;
inline constexpr std::uint64_t kServerSharedAddress = 0x1018'0000;
inline constexpr std::uint64_t kServerSharedSlice = 0x4'0000;
inline constexpr std::uint64_t kServerLargeArchiveAddress = 0x2000'0000;
// Large pages that a driver shares with the server, in both domains at the same place: multiples of
// 2 MiB, from the first service's on.
inline constexpr std::uint64_t kLargeSharedAddress = 0x3000'0000;
inline constexpr std::uint64_t kLargeSharedSlice = 0x20'0000;

inline constexpr std::uint64_t kServerFileSystemAddress = 0x2800'0000;
// In the file system's domain.
inline constexpr std::uint64_t kFileSystemAddress = 0x1000'0000;
inline constexpr std::uint64_t kFileSystemSize = 0x10'0000;
inline constexpr std::uint64_t kFileSystemDiskAddress = 0x1010'0000;
inline constexpr std::uint64_t kFileSystemMemoryAddress = 0x2000'0000;

// Physical address of region kComposerDeviceMemory's first byte.
inline constexpr std::uint64_t kDeviceMemoryBase = 0xc000'0000;

// Own slots.
inline constexpr std::uint64_t kOwnPortSlot = abi::kComposerFirstFree;
inline constexpr std::uint64_t kServerPortSlot = abi::kComposerFirstFree + 1;
inline constexpr std::uint64_t kServerDomainSlot = abi::kComposerFirstFree + 2;
inline constexpr std::uint64_t kServerFaultSlot = abi::kComposerFirstFree + 4;
inline constexpr std::uint64_t kStopPortSlot = abi::kComposerFirstFree + 5;
inline constexpr std::uint64_t kTimerPortSlot = abi::kComposerFirstFree + 6;
inline constexpr std::uint64_t kTimerSlot = abi::kComposerFirstFree + 7;
inline constexpr std::uint64_t kDrainSlot = abi::kComposerFirstFree + 8;
inline constexpr std::uint64_t kServerMemorySlot = abi::kComposerFirstFree + 9;
inline constexpr std::uint64_t kDeviceTableSlot = abi::kComposerFirstFree + 10;
inline constexpr std::uint64_t kRootSlot = abi::kComposerFirstFree + 11;
inline constexpr std::uint64_t kArchiveSlot = abi::kComposerFirstFree + 12;
inline constexpr std::uint64_t kFileSystemPortSlot = abi::kComposerFirstFree + 13;
inline constexpr std::uint64_t kFileSystemDomainSlot = abi::kComposerFirstFree + 14;
inline constexpr std::uint64_t kFileSystemFaultSlot = abi::kComposerFirstFree + 15;
inline constexpr std::uint64_t kManifestSlot = abi::kComposerFirstFree + 16;
// Three per domain, then four per service.
inline constexpr std::uint64_t kDomainSlots = 64;
inline constexpr std::uint64_t kServiceSlots = 192;

// Badges of capabilities to the composer's port. Signals: bit n = service n, and the drain timer.
inline constexpr std::uint64_t kTimerSignal = std::uint64_t{1} << 62;
// Calls: a tag, and an index below it.
inline constexpr std::uint64_t kBadgeTag = ~std::uint64_t{0xffff};
inline constexpr std::uint64_t kFaultBadge = 0x1'0000;  // + domain
inline constexpr std::uint64_t kServerFaultBadge = 0x2'0000;
inline constexpr std::uint64_t kControlBadge = 0x3'0000;
inline constexpr std::uint64_t kInformationBadge = 0x4'0000;
inline constexpr std::uint64_t kFileSystemFaultBadge = 0x5'0000;

}  // namespace composer
