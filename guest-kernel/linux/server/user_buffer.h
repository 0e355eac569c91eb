#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/address_space.h"

namespace linux_server {

// struct iovec
struct IoVector {
  std::uint64_t address;
  std::uint64_t size;
};

// The bytes that a call names: a range of a process's memory, or several that count as one, or
// memory of the server's own. Nothing about a process's has been checked: each access is.
class UserBuffer {
 public:
  UserBuffer(AddressSpace& space, std::uint64_t address, std::uint64_t size)
      : space_(&space), single_{address, size}, size_(size) {}
  // The first `size` bytes of `vectors`, which outlive this.
  UserBuffer(AddressSpace& space, std::span<const IoVector> vectors, std::uint64_t size)
      : space_(&space), vectors_(vectors), size_(size) {}
  explicit UserBuffer(std::span<std::byte> own)
      : single_{reinterpret_cast<std::uint64_t>(own.data()), own.size()}, size_(own.size()) {}

  // Of one range.
  std::uint64_t address() const { return single_.address; }
  std::uint64_t size() const { return size_; }

  // Copies as much of `from` as fits, to `offset`. Returns the bytes copied, or -EFAULT if there
  // were none.
  std::int64_t fill(std::span<const std::byte> from, std::uint64_t offset = 0) const;
  // Copies from `offset` on into `to`, as much as there is. As fill().
  std::int64_t take(std::span<std::byte> to, std::uint64_t offset = 0) const;
  // The bytes from `offset` on that are contiguous for the server; empty: not accessible.
  std::span<std::byte> piece(std::uint64_t offset, Access access) const;

 private:
  std::int64_t copy(std::span<std::byte> bytes, std::uint64_t offset, Access access) const;

  AddressSpace* space_ = nullptr;  // null: the server's own memory
  std::span<const IoVector> vectors_;
  IoVector single_ = {};
  std::uint64_t size_;
};

}  // namespace linux_server
