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

// Writes struct hvm_start_info version 1 at kStartInfoAddress, and behind it the memory map, the
// module list and the strings. `rsdp_address` is that of the ACPI tables, 0 without. What does not
// fit is an Error that says so.
Result<void> write_start_info(const GuestMemory& memory, const std::string& command_line,
                              const std::vector<PlacedModule>& modules, uint64_t rsdp_address);

}  // namespace ensemble::vmm::arch
