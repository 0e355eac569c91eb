#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vmm/error.h"

namespace ensemble::control {

// Host addresses [begin, end).
struct AddressRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

// Resident memory in KiB.
struct ResidentMemory {
  std::uint64_t total_kib = 0;
  // What no file backs: unlike the rest it does not depend on what the host has in its page cache.
  std::uint64_t anonymous_kib = 0;

  bool operator==(const ResidentMemory&) const = default;
};

// This process's memory without the mappings that begin within `excluded`.
Result<ResidentMemory> resident_memory_outside(std::span<const AddressRange> excluded);

// The same from the text of /proc/PID/smaps.
ResidentMemory sum_resident_memory(const std::string& smaps,
                                   std::span<const AddressRange> excluded);

}  // namespace ensemble::control
