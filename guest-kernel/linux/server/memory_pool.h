#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "guest-kernel/lib/start_info.h"
#include "guest-kernel/linux/server/frame_allocator.h"

namespace linux_server {

// The server's memory region: hands out its pages, and maps for the server itself what it handed
// out.
class MemoryPool {
 public:
  // Takes over the region that `info` gives, mapping its first part. False, with a reason on the
  // console's behalf in `status`, if the nucleus refuses.
  static bool create(const guest::StartInfo& info, MemoryPool& pool);

  // As FrameAllocator's.
  std::uint64_t allocate(std::uint64_t size);
  std::uint64_t allocate_uncleared(std::uint64_t size);
  // The same for what programs ask for: the last of the memory is the server's, which has to go on.
  std::uint64_t allocate_for_program(std::uint64_t size) {
    return spares(size) ? allocate(size) : kNone;
  }
  std::uint64_t allocate_uncleared_for_program(std::uint64_t size) {
    return spares(size) ? allocate_uncleared(size) : kNone;
  }
  // A large page from the upper end of the pool, or any where there is none.
  std::uint64_t allocate_upper_block_for_program() {
    return spares(FrameAllocator::kBlock)
               ? reach(allocator_->allocate_upper_block(), FrameAllocator::kBlock)
               : kNone;
  }
  bool spares(std::uint64_t size) const { return available() >= size + reserve(); }
  std::uint64_t reserve() const { return total() / 64 & ~(FrameAllocator::kPage - 1); }
  void free(std::uint64_t offset, std::uint64_t size) { allocator_->free(offset, size); }
  [[nodiscard]] bool share(std::uint64_t offset, std::uint64_t size) {
    return allocator_->share(offset, size);
  }
  bool is_shared(std::uint64_t offset, std::uint64_t size) const {
    return allocator_->is_shared(offset, size);
  }
  std::uint64_t total() const { return allocator_->total(); }
  std::uint64_t available() const { return allocator_->available(); }

  // Enough is left to spend some for speed: untouched memory in large pages.
  bool is_plentiful(std::uint64_t size) const { return available() >= size + total() / 4; }

  // The server's view of pages that were handed out.
  std::byte* at(std::uint64_t offset) const;
  guest::Slot region() const { return region_; }

  static constexpr std::uint64_t kNone = FrameAllocator::kNone;

 private:
  bool map_up_to(std::uint64_t end);
  bool map_down_to(std::uint64_t start);
  bool map(std::uint64_t start, std::uint64_t end);
  std::uint64_t reach(std::uint64_t offset, std::uint64_t size);

  guest::Slot region_ = guest::kNoSlot;
  std::uint64_t size_ = 0;
  // The server sees [0, mapped_) and [upper_, size_).
  std::uint64_t mapped_ = 0;
  std::uint64_t upper_ = 0;
  std::uint64_t address_ = 0;
  std::optional<FrameAllocator> allocator_;
};

// The one pool, which also backs operator new. create() comes before any allocation.
MemoryPool& memory_pool();

}  // namespace linux_server
