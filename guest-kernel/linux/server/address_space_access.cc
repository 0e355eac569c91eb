#include <cstring>

#include "guest-kernel/linux/server/address_space.h"

// Copying to and from a process, piece by contiguous piece.
namespace linux_server {

Result<void> AddressSpace::read(std::uint64_t address, std::span<std::byte> to) {
  while (!to.empty()) {
    const auto piece = window(address, to.size(), Access::kRead);
    if (!piece) {
      return fail(EFAULT);
    }
    std::memcpy(to.data(), piece->data(), piece->size());
    to = to.subspan(piece->size());
    address += piece->size();
  }
  return {};
}

Result<void> AddressSpace::write(std::uint64_t address, std::span<const std::byte> from) {
  while (!from.empty()) {
    const auto piece = window(address, from.size(), Access::kWrite);
    if (!piece) {
      return fail(EFAULT);
    }
    std::memcpy(piece->data(), from.data(), piece->size());
    from = from.subspan(piece->size());
    address += piece->size();
  }
  return {};
}

Result<std::string_view> AddressSpace::read_string(std::uint64_t address, std::span<char> buffer) {
  std::size_t size = 0;
  while (size < buffer.size()) {
    const auto piece = window(address + size, buffer.size() - size, Access::kRead);
    if (!piece) {
      return fail(EFAULT);
    }
    const void* end = std::memchr(piece->data(), 0, piece->size());
    const std::size_t count =
        end == nullptr
            ? piece->size()
            : static_cast<std::size_t>(static_cast<const std::byte*>(end) - piece->data());
    std::memcpy(buffer.data() + size, piece->data(), count);
    size += count;
    if (end != nullptr) {
      return std::string_view(buffer.data(), size);
    }
  }
  return fail(ENAMETOOLONG);
}

std::uint64_t AddressSpace::resident() const {
  std::uint64_t total = 0;
  for (const Segment& segment : segments_) {
    total += segment.is_backed() ? segment.size() : 0;
  }
  return total;
}

}  // namespace linux_server
