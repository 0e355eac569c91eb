#include "guest-kernel/linux/server/ipc/io_vectors.h"

#include <algorithm>

#include "guest-kernel/abi/layout.h"

namespace linux_server {

Result<void> IoVectors::read(AddressSpace& space, std::uint64_t address, std::uint64_t count) {
  const auto copied = read_unchecked(space, address, count);
  const auto is_outside = [](const IoVector& vector) {
    return vector.size != 0 &&
           (vector.address > abi::kUserEnd || vector.size > abi::kUserEnd - vector.address);
  };
  return copied && std::any_of(vectors_.begin(), vectors_.end(), is_outside) ? fail(EFAULT)
                                                                             : copied;
}

Result<void> IoVectors::read_unchecked(AddressSpace& space, std::uint64_t address,
                                       std::uint64_t count) {
  if (count > kMaximumVectors) {
    return fail(EINVAL);
  }
  if (count > few_.size() && !many_.resize(count)) {
    return fail(ENOMEM);
  }
  const std::span<IoVector> vectors(count > few_.size() ? many_.begin() : few_.data(), count);
  if (const auto copied = space.read(address, std::as_writable_bytes(vectors)); !copied) {
    return copied;
  }
  size_ = 0;
  for (const IoVector& vector : vectors) {
    if (static_cast<std::int64_t>(vector.size) < 0) {
      return fail(EINVAL);
    }
    size_ = std::min(size_ + std::min(vector.size, kMaximumTransfer), kMaximumTransfer);
  }
  vectors_ = vectors;
  return {};
}

}  // namespace linux_server
