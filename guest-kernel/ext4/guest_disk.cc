#include "guest-kernel/ext4/guest_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ext4 {

using guest::BlockRequest;

GuestDisk::GuestDisk(const guest::Resource& block)
    : port_(block.slot), shared_(reinterpret_cast<std::byte*>(block.address), block.size) {
  guest::Message message{{static_cast<std::uint64_t>(BlockRequest::kGeometry)}};
  if (guest::call(port_, message) == guest::Status::kOk && message[0] == 0 &&
      message[1] <= ~std::uint64_t{0} / kSector) {
    size_ = message[1] * kSector;
    read_only_ = message[2] != 0;
  }
}

int GuestDisk::request(guest::Message message) {
  const bool done = guest::call(port_, message) == guest::Status::kOk &&
                    message[0] == static_cast<std::uint64_t>(guest::DeviceStatus::kOk);
  return done ? 0 : EIO;
}

int GuestDisk::send(BlockRequest write) {
  if (failed_ != 0 || waiting_size_ == 0) {
    return failed_;
  }
  const std::uint64_t sectors = waiting_size_ / kSector;
  waiting_size_ = 0;
  failed_ = request({{static_cast<std::uint64_t>(write), waiting_at_ / kSector, sectors, 0}});
  return failed_;
}

int GuestDisk::read(std::uint64_t offset, void* to, std::uint64_t size) {
  if (const int failed = send()) {
    return failed;
  }
  if (offset % kSector != 0 || size % kSector != 0) {
    return EINVAL;
  }
  auto* at = static_cast<std::byte*>(to);
  while (size != 0) {
    const std::uint64_t count = std::min<std::uint64_t>(size, shared_.size());
    if (const int failed = request({{static_cast<std::uint64_t>(BlockRequest::kRead),
                                     offset / kSector, count / kSector, 0}})) {
      return failed;
    }
    std::memcpy(at, shared_.data(), count);
    at += count;
    offset += count;
    size -= count;
  }
  return 0;
}

int GuestDisk::write(std::uint64_t offset, const void* from, std::uint64_t size) {
  const auto* at = static_cast<const std::byte*>(from);
  if (failed_ != 0) {
    return failed_;
  }
  if (offset % kSector != 0 || size % kSector != 0) {
    return EINVAL;
  }
  while (size != 0) {
    if (waiting_size_ != 0 &&
        (offset != waiting_at_ + waiting_size_ || waiting_size_ == shared_.size())) {
      if (const int failed = send()) {
        return failed;
      }
    }
    waiting_at_ = waiting_size_ == 0 ? offset : waiting_at_;
    const std::uint64_t count = std::min<std::uint64_t>(size, shared_.size() - waiting_size_);
    std::memcpy(shared_.data() + waiting_size_, at, count);
    waiting_size_ += count;
    at += count;
    offset += count;
    size -= count;
  }
  return 0;
}

int GuestDisk::flush() {
  if (failed_ != 0 || waiting_size_ != 0) {
    return send(BlockRequest::kWriteAndFlush);
  }
  failed_ = request({{static_cast<std::uint64_t>(BlockRequest::kFlush)}});
  return failed_;
}

}  // namespace ext4
