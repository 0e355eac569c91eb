#include "vmm/bus.h"

#include <algorithm>
#include <iterator>

namespace ensemble::vmm {

Result<void> Bus::insert(uint64_t base, uint64_t size, BusDevice& device) {
  if (size == 0 || size - 1 > UINT64_MAX - base) {
    return fail("{} cannot take {:#x} bytes at {:#x} of the {}", device.name(), size, base, name_);
  }
  const uint64_t last = base + (size - 1);
  // The only ranges that can overlap are the first one above `base` and the one before it.
  auto next = ranges_.upper_bound(base);
  if (next != ranges_.begin()) {
    const auto& [other_base, other] = *std::prev(next);
    if (base - other_base < other.size) {
      return fail("{} at {:#x} of the {} overlaps {} at {:#x}", device.name(), base, name_,
                  other.device->name(), other_base);
    }
  }
  if (next != ranges_.end() && next->first <= last) {
    return fail("{} at {:#x} of the {} overlaps {} at {:#x}", device.name(), base, name_,
                next->second.device->name(), next->first);
  }
  ranges_.emplace(base, Range{size, &device});
  return {};
}

Bus::Target Bus::find(uint64_t address, uint64_t size) const {
  auto next = ranges_.upper_bound(address);
  if (next == ranges_.begin()) {
    return {nullptr, 0};
  }
  const auto& [base, range] = *std::prev(next);
  const uint64_t offset = address - base;
  if (offset >= range.size || size > range.size - offset) {
    return {nullptr, 0};
  }
  return {range.device, offset};
}

void Bus::read(uint64_t address, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  const std::lock_guard guard(lock_);
  const Target target = find(address, data.size());
  if (target.device == nullptr) {
    ++unclaimed_accesses_;
    return;
  }
  target.device->read(target.offset, data);
}

void Bus::write(uint64_t address, std::span<const std::byte> data) {
  const std::lock_guard guard(lock_);
  const Target target = find(address, data.size());
  if (target.device == nullptr) {
    ++unclaimed_accesses_;
    return;
  }
  target.device->write(target.offset, data);
}

uint64_t Bus::unclaimed_accesses() const {
  const std::lock_guard guard(lock_);
  return unclaimed_accesses_;
}

}  // namespace ensemble::vmm
