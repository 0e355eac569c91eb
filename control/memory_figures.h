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

// Resident memory of this process in KiB without the mappings that begin within `excluded`.
Result<std::uint64_t> resident_kib_outside(std::span<const AddressRange> excluded);

// The same from the text of /proc/PID/smaps.
std::uint64_t sum_resident_kib(const std::string& smaps, std::span<const AddressRange> excluded);

}  // namespace ensemble::control
