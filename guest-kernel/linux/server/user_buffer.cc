#include "guest-kernel/linux/server/user_buffer.h"

#include <cstring>

namespace linux_server {

std::span<std::byte> UserBuffer::piece(std::uint64_t offset, Access access) const {
  if (offset >= size_) {
    return {};
  }
  IoVector range = single_;
  std::uint64_t skip = offset;
  for (const IoVector& vector : vectors_) {
    range = vector;
    if (skip < vector.size) {
      break;
    }
    skip -= vector.size;
  }
  if (skip >= range.size) {
    return {};
  }
  const std::uint64_t size = std::min(range.size - skip, size_ - offset);
  if (space_ == nullptr) {
    return {reinterpret_cast<std::byte*>(range.address + skip), size};
  }
  const auto window = space_->window(range.address + skip, size, access);
  return window ? *window : std::span<std::byte>{};
}

std::int64_t UserBuffer::copy(std::span<std::byte> bytes, std::uint64_t offset,
                              Access access) const {
  const std::uint64_t size =
      offset >= size_ ? 0 : std::min<std::uint64_t>(size_ - offset, bytes.size());
  std::uint64_t done = 0;
  while (done < size) {
    const auto user = piece(offset + done, access);
    if (user.empty()) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    const std::uint64_t count = std::min<std::uint64_t>(user.size(), size - done);
    if (access == Access::kWrite) {
      std::memcpy(user.data(), bytes.data() + done, count);
    } else {
      std::memcpy(bytes.data() + done, user.data(), count);
    }
    done += count;
  }
  return static_cast<std::int64_t>(done);
}

std::int64_t UserBuffer::fill(std::span<const std::byte> from, std::uint64_t offset) const {
  // Written to by no path that a write access takes.
  return copy({const_cast<std::byte*>(from.data()), from.size()}, offset, Access::kWrite);
}

std::int64_t UserBuffer::take(std::span<std::byte> to, std::uint64_t offset) const {
  return copy(to, offset, Access::kRead);
}

}  // namespace linux_server
