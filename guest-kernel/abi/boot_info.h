#pragma once

#include <cstdint>

// What the nucleus hands to the composer: the address of a BootInfo in rdi, and these capabilities.
namespace abi {

enum ComposerSlot : std::uint64_t {
  kComposerSelf = 1,           // own domain
  kComposerMachine = 2,        // all rights
  kComposerInterrupts = 3,     // kInterruptCreate
  kComposerPorts = 4,          // I/O ports 0 … 0xffff
  kComposerTimePage = 5,       // region: the page behind kTimePage, writable
  kComposerCommandLine = 6,    // region: the pages that hold the kernel command line
  kComposerBootPackage = 7,    // region: module `boot`, read-only (writable where it is RAM)
  kComposerManifest = 8,       // region: module `manifest`; empty slot if there is none
  kComposerRoot = 9,           // region: module `root`; empty slot if there is none
  kComposerDeviceMemory = 10,  // region: 0xC0000000 … 0xFFFFFFFF, uncached
  kComposerMemory = 11,        // region: free RAM below 4 GiB, all zero
  kComposerHighMemory = 12,    // region: RAM above 4 GiB, all zero; empty slot if there is none
  kComposerFirstFree = 16,
};

struct BootModule {
  std::uint64_t address;  // physical
  std::uint64_t size;     // bytes; the region is rounded up to pages
};

struct BootInfo {
  std::uint64_t version;  // 1
  std::uint64_t flags;    // kMachineInterpreted
  std::uint64_t entry_tsc;
  std::uint64_t first_user_tsc;
  std::uint64_t command_line_offset;  // of the string in region kComposerCommandLine; ~0: none
  std::uint64_t memory_size;          // bytes in kComposerMemory
  std::uint64_t high_memory_size;     // bytes in kComposerHighMemory
  std::uint64_t memory_base;          // physical address of kComposerMemory (devices do DMA)
  std::uint64_t high_memory_base;
  BootModule boot_package;
  BootModule manifest;
  BootModule root;
  std::uint64_t composer_size;  // bytes of the composer's ELF, rounded up: the archive follows it
  std::uint64_t total_memory;   // bytes of RAM in the memory map
};

// The composer is linked for these addresses.
inline constexpr std::uint64_t kComposerStackTop = 0x7000'0000;
inline constexpr std::uint64_t kComposerStackSize = 0x1'0000;
inline constexpr std::uint64_t kComposerBootInfo = 0x7000'1000;

}  // namespace abi
