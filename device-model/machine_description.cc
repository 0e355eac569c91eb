#include "device-model/machine_description.h"

#include <algorithm>

#include "device-model/machine_layout.h"

namespace ensemble::device {

std::vector<MemoryRange> usable_memory(const vmm::GuestMemory& memory) {
  std::vector<MemoryRange> ranges;
  const auto add = [&ranges](std::uint64_t start, std::uint64_t end) {
    if (start < end) {
      ranges.push_back({.address = start, .size = end - start});
    }
  };
  for (const vmm::MemorySlot& slot : memory.slots()) {
    if (slot.read_only) {
      continue;
    }
    const std::uint64_t end = slot.guest_address + slot.size;
    add(slot.guest_address, std::min(end, kLowMemoryEnd));
    add(std::max(slot.guest_address, kHighMemoryStart), end);
  }
  return ranges;
}

}  // namespace ensemble::device
