#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/error.h"

namespace ensemble::vmm::arch {

// Linux's own kernel image ("bzImage") for the 64-bit boot protocol: Documentation/x86/boot.rst of
// Linux, version 2.12 or later.
struct LinuxImage {
  std::span<const std::byte> setup_header;  // From offset kSetupHeader of the file.
  std::span<const std::byte> kernel;        // The part that runs in long mode.
  uint64_t address = 0;                     // Guest-physical, where it wants to lie.
  uint64_t memory_size = 0;                 // What it needs there before it reads a memory map.
  uint64_t ramdisk_end = 0;                 // The RAM disk lies below.
  uint32_t command_line_limit = 0;          // Bytes, without the NUL.
};

inline constexpr uint64_t kSetupHeader = 0x1f1;  // In the file, and in struct boot_params.
inline constexpr uint64_t kLinuxEntry = 0x200;   // From LinuxImage::address.

// Whether this is a bzImage, however damaged.
bool is_linux_image(std::span<const std::byte> file);

// Reads an image that may be malformed in any way. `file` must outlive the result. Neither
// `address` + `memory_size` nor anything else wraps around; whether that lies in memory is not
// looked at. The kernel fits into memory_size and holds its entry.
Result<LinuxImage> parse_linux_image(std::span<const std::byte> file);

}  // namespace ensemble::vmm::arch
