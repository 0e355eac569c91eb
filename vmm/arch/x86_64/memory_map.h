#pragma once

#include <cstdint>
#include <vector>

#include "vmm/guest_memory.h"

namespace ensemble::vmm::arch {

// The range that PCs reserve for their firmware and video memory.
inline constexpr uint64_t kLegacyHoleStart = 0xa0000;
inline constexpr uint64_t kLegacyHoleEnd = 0x100000;

// A range of the memory map, in the numbers of E820, which PVH and Linux both use.
enum class RangeKind : uint32_t { kRam = 1, kReserved = 2 };
struct MapRange {
  uint64_t address = 0;
  uint64_t size = 0;
  RangeKind kind = RangeKind::kRam;
};

// What a guest is told of its memory, by ascending address within each slot.
std::vector<MapRange> memory_map(const GuestMemory& memory);

}  // namespace ensemble::vmm::arch
