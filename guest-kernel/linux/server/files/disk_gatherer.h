#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "guest-kernel/ext4/protocol.h"

namespace linux_server {

// Small writes to the disk's files that wait in the memory shared with its program for the next
// request. A program is told at once that they are written, so that no more wait than the disk
// certainly has room for.
class DiskGatherer {
 public:
  // `memory`: kGatheredSize bytes.
  void use(std::byte* memory) { memory_ = memory; }
  // A place for `size` bytes that are to be written to a file, or nothing: then they cannot wait.
  std::span<std::byte> place(std::uint64_t inode, std::uint64_t offset, std::uint64_t size) const {
    // Any write may take so much, and what a program knows nothing of.
    constexpr std::uint64_t kLeastRoom = 1024 * 1024;
    // A file may have at least so much, whatever it was made with.
    constexpr std::uint64_t kMostOffset = std::uint64_t{1} << 33;
    if (room_ < kLeastRoom || offset > kMostOffset) {
      return {};
    }
    const std::uint64_t at = continues(inode, offset) ? last_at_ + sizeof(last_) + last_.size
                                                      : (size_ + 7) / 8 * 8 + sizeof(last_);
    if (at > ext4::kGatheredSize || size > ext4::kGatheredSize - at) {
      return {};
    }
    return {memory_ + at, size};
  }
  // The first `size` bytes of it are there.
  void add(std::uint64_t inode, std::uint64_t offset, std::uint64_t size, std::int64_t time) {
    // A block at either end, and those that are needed to find them, of at most 4 KiB each. `room_`
    // is for data that needs as much again to be found by.
    constexpr std::uint64_t kForEnds = std::uint64_t{4} * 4096;
    std::uint64_t taken = size;
    if (continues(inode, offset)) {
      last_.size += static_cast<std::uint32_t>(size);
    } else {
      last_at_ = (size_ + 7) / 8 * 8;
      last_ = {static_cast<std::uint32_t>(inode), static_cast<std::uint32_t>(size), offset, time};
      taken += kForEnds;
    }
    std::memcpy(memory_ + last_at_, &last_, sizeof(last_));
    size_ = last_at_ + sizeof(last_) + last_.size;
    room_ -= taken < room_ ? taken : room_;
  }
  // How many bytes of the memory the next request takes along; then none wait.
  std::uint64_t take() {
    const std::uint64_t size = size_;
    size_ = 0;
    return size;
  }
  // What its answer says that there is room for, in bytes.
  void set_room(std::uint64_t room) { room_ = room; }

 private:
  bool continues(std::uint64_t inode, std::uint64_t offset) const {
    return size_ != 0 && last_.inode == inode && last_.offset + last_.size == offset;
  }

  std::byte* memory_ = nullptr;
  std::uint64_t size_ = 0;
  ext4::GatheredWrite last_ = {};
  std::uint64_t last_at_ = 0;
  std::uint64_t room_ = 0;
};

}  // namespace linux_server
