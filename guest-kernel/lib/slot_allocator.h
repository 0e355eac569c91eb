#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "guest-kernel/lib/system_call.h"

namespace guest {

// Which of the slots [first, first + kSlots) of a domain's capability table are free. Bookkeeping
// only: no system call.
template <std::size_t kSlots>
class SlotAllocator {
 public:
  static_assert(kSlots % 64 == 0);

  // Slots from `end` on do not exist.
  SlotAllocator(Slot first, Slot end)
      : first_(first), count_(end <= first ? 0 : (end - first < kSlots ? end - first : kSlots)) {}

  // A free slot, or kNoSlot if none is left.
  Slot allocate() {
    for (std::size_t word = hint_; word < used_.size(); ++word) {
      if (used_[word] != ~std::uint64_t{0}) {
        const std::size_t index =
            word * 64 + static_cast<std::size_t>(std::countr_one(used_[word]));
        if (index >= count_) {
          return kNoSlot;
        }
        used_[word] |= std::uint64_t{1} << (index % 64);
        hint_ = word;
        return first_ + index;
      }
    }
    return kNoSlot;
  }

  // A slot that is not allocated is ignored.
  void release(Slot slot) {
    const std::uint64_t index = slot - first_;
    if (index < count_) {
      used_[index / 64] &= ~(std::uint64_t{1} << (index % 64));
      hint_ = index / 64 < hint_ ? index / 64 : hint_;
    }
  }

 private:
  Slot first_;
  std::uint64_t count_;
  std::size_t hint_ = 0;
  std::array<std::uint64_t, kSlots / 64> used_{};
};

}  // namespace guest
