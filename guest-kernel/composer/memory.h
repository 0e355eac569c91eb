#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "guest-kernel/abi/boot_info.h"

namespace composer {

// Physically contiguous pages of region kComposerMemory, mapped in the composer.
struct Block {
  std::uint64_t offset = 0;  // in the region
  std::uint64_t physical = 0;
  std::span<std::byte> bytes;  // zero when allocated
};

// The composer's share of the memory: pages from the top of the region downwards. What lies below
// is the Linux server's. Nothing is given back: a driver that is started again gets its old pages.
class Memory {
 public:
  // Maps the top `windows` × 2 MiB, so that one large page each does where the top is aligned.
  // False if there is too little memory.
  bool initialize(const abi::BootInfo& boot, std::uint64_t windows);

  // `size` is rounded up to pages.
  std::optional<Block> allocate(std::uint64_t size);

  // Takes memory that is not mapped here, from a boundary of 2 MiB of physical memory on: its
  // offset in the region. Nothing can be allocated after it.
  std::optional<std::uint64_t> reserve(std::uint64_t size);

  // Bytes of the region below all that was allocated.
  std::uint64_t remaining() const { return next_; }

 private:
  std::uint64_t physical_ = 0;  // of the region
  std::uint64_t window_ = 0;    // offset in the region of what is mapped at `address_`
  std::uint64_t address_ = 0;
  std::uint64_t next_ = 0;
};

}  // namespace composer
