#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/user_buffer.h"

namespace linux_server {

inline constexpr std::uint64_t kMaximumVectors = 1024;          // IOV_MAX
inline constexpr std::uint64_t kMaximumTransfer = 0x7fff'f000;  // as Linux's MAX_RW_COUNT

// A call's array of struct iovec, copied once.
class IoVectors {
 public:
  IoVectors() = default;
  // EINVAL: too many, or one that is larger than any transfer; EFAULT; ENOMEM.
  Result<void> read(AddressSpace& space, std::uint64_t address, std::uint64_t count);
  // The same of addresses in another process: any at all.
  Result<void> read_unchecked(AddressSpace& space, std::uint64_t address, std::uint64_t count);

  // All of their bytes, kMaximumTransfer at most, or the first `most`.
  UserBuffer buffer(AddressSpace& space, std::uint64_t most = kMaximumTransfer) const {
    return {space, vectors_, std::min(size_, most)};
  }
  std::uint64_t size() const { return size_; }

 private:
  std::array<IoVector, 8> few_;
  GrowingArray<IoVector> many_;
  std::span<const IoVector> vectors_;
  std::uint64_t size_ = 0;
};

}  // namespace linux_server
