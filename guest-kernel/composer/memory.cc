#include "guest-kernel/composer/memory.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/lib/system_call.h"

namespace composer {

bool Memory::initialize(const abi::BootInfo& boot, std::uint64_t windows) {
  const std::uint64_t top = boot.memory_base + boot.memory_size;
  std::uint64_t start = (top - 1) & ~(abi::kLargePageSize - 1);
  start =
      start < (windows - 1) * abi::kLargePageSize ? 0 : start - (windows - 1) * abi::kLargePageSize;
  // The window ends where the memory does and may start a little above a 2 MiB boundary.
  if (top - start < windows * abi::kLargePageSize) {
    start = start < abi::kLargePageSize ? 0 : start - abi::kLargePageSize;
  }
  start = start < boot.memory_base ? boot.memory_base : start;
  physical_ = boot.memory_base;
  window_ = start - boot.memory_base;
  address_ = kMemoryAddress + start % abi::kLargePageSize;
  next_ = boot.memory_size;
  return boot.memory_size != 0 &&
         guest::map(abi::kSelfSlot, address_, abi::kComposerMemory, window_, top - start,
                    abi::kRightRead | abi::kRightWrite) == guest::Status::kOk;
}

std::optional<std::uint64_t> Memory::reserve(std::uint64_t size) {
  if (size > next_) {
    return std::nullopt;
  }
  const std::uint64_t physical = (physical_ + next_ - size) & ~(abi::kLargePageSize - 1);
  if (physical < physical_) {
    return std::nullopt;
  }
  next_ = physical - physical_;
  return next_;
}

std::optional<Block> Memory::allocate(std::uint64_t size) {
  if (next_ < window_ || size > next_ - window_) {
    return std::nullopt;
  }
  size = (size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
  if (size > next_ - window_) {
    return std::nullopt;
  }
  next_ -= size;
  auto* bytes = reinterpret_cast<std::byte*>(address_ + (next_ - window_));
  return Block{next_, physical_ + next_, {bytes, size}};
}

}  // namespace composer
