#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/address_space.h"

namespace linux_server {

// A range of a process's memory that a call names. Nothing about it has been checked: each access
// is.
class UserBuffer {
 public:
  UserBuffer(AddressSpace& space, std::uint64_t address, std::uint64_t size)
      : space_(&space), address_(address), size_(size) {}

  std::uint64_t address() const { return address_; }
  std::uint64_t size() const { return size_; }

  // Copies as much of `from` as fits. Returns the bytes copied, or -EFAULT if there were none.
  std::int64_t fill(std::span<const std::byte> from) const;
  // The bytes from `offset` on that are contiguous for the server; empty: not accessible.
  std::span<std::byte> piece(std::uint64_t offset, Access access) const;

 private:
  AddressSpace* space_;
  std::uint64_t address_;
  std::uint64_t size_;
};

}  // namespace linux_server
