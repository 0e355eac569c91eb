#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/error.h"
#include "vmm/guest_memory.h"

namespace ensemble::vmm::arch {

// A module as the guest finds it.
struct PlacedModule {
  std::string name;
  uint64_t guest_address = 0;
  uint64_t size = 0;
};

// Guest-physical addresses of the area for start information (docs/machine.md).
inline constexpr uint64_t kStartInfoAddress = 0x6000;
inline constexpr uint64_t kStartInfoEnd = 0x8000;
// The range that PCs reserve for their firmware and video memory.
inline constexpr uint64_t kLegacyHoleStart = 0xa0000;
inline constexpr uint64_t kLegacyHoleEnd = 0x100000;

// Writes struct hvm_start_info version 1 at kStartInfoAddress, and behind it the memory map, the
// module list and the strings. What does not fit is an Error that says so.
Result<void> write_start_info(const GuestMemory& memory, const std::string& command_line,
                              const std::vector<PlacedModule>& modules);

}  // namespace ensemble::vmm::arch
