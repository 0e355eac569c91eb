#include "memory_map.h"

namespace ensemble::vmm::arch {

std::vector<MapRange> memory_map(const GuestMemory& memory) {
  std::vector<MapRange> map;
  for (const MemorySlot& slot : memory.slots()) {
    if (slot.read_only) {
      map.push_back({slot.guest_address, slot.size, RangeKind::kReserved});
    } else if (slot.guest_address == 0) {
      map.push_back({0, kLegacyHoleStart, RangeKind::kRam});
      map.push_back({kLegacyHoleStart, kLegacyHoleEnd - kLegacyHoleStart, RangeKind::kReserved});
      map.push_back({kLegacyHoleEnd, slot.size - kLegacyHoleEnd, RangeKind::kRam});
    } else {
      map.push_back({slot.guest_address, slot.size, RangeKind::kRam});
    }
  }
  return map;
}

}  // namespace ensemble::vmm::arch
