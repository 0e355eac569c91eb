#include "guest-kernel/linux/server/user_buffer.h"

#include <cstring>

namespace linux_server {

std::span<std::byte> UserBuffer::piece(std::uint64_t offset, Access access) const {
  if (offset >= size_) {
    return {};
  }
  const auto window = space_->window(address_ + offset, size_ - offset, access);
  return window ? *window : std::span<std::byte>{};
}

std::int64_t UserBuffer::fill(std::span<const std::byte> from) const {
  const std::uint64_t size = std::min<std::uint64_t>(size_, from.size());
  std::uint64_t done = 0;
  while (done < size) {
    const auto to = piece(done, Access::kWrite);
    if (to.empty()) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    const std::uint64_t count = std::min<std::uint64_t>(to.size(), size - done);
    std::memcpy(to.data(), from.data() + done, count);
    done += count;
  }
  return static_cast<std::int64_t>(done);
}

}  // namespace linux_server
