#include "guest-kernel/linux/server/memory_pool.h"

#include <algorithm>
#include <bit>
#include <new>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/arena.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kRead = abi::kRightRead;
constexpr std::uint64_t kWrite = abi::kRightWrite;
// Where the region appears, plus the distance that makes virtual and physical addresses congruent.
constexpr std::uint64_t kPoolAddress = 0x100'0000'0000;
// The region is mapped this much at a time: few system calls, few page-table entries.
constexpr std::uint64_t kMapStep = 32 * 1024 * 1024;
constexpr std::uint64_t kHeapStep = 64 * 1024;
constexpr std::size_t kLargestSmall = 16 * 1024;

// Blocks in power-of-two classes; larger ones are page runs of the pool.
class ServerHeap {
 public:
  void* allocate(std::size_t size) {
    if (size > kLargestSmall) {
      // Tables that programs make grow: the last of the memory is for small things.
      const std::uint64_t offset = memory_pool().allocate_for_program(round(size));
      return offset == MemoryPool::kNone ? nullptr : memory_pool().at(offset);
    }
    const unsigned index = class_of(size);
    if (Block* block = free_[index]; block != nullptr) {
      free_[index] = block->next;
      return block;
    }
    void* memory = arena_.allocate(std::uint64_t{1} << (index + kSmallestShift), 16);
    if (memory == nullptr) {
      const std::uint64_t offset = memory_pool().allocate(kHeapStep);
      if (offset == MemoryPool::kNone) {
        return nullptr;
      }
      arena_ = guest::Arena(reinterpret_cast<std::uint64_t>(memory_pool().at(offset)), kHeapStep);
      memory = arena_.allocate(std::uint64_t{1} << (index + kSmallestShift), 16);
    }
    return memory;
  }

  void release(void* memory, std::size_t size) {
    if (memory == nullptr) {
      return;
    }
    if (size > kLargestSmall) {
      memory_pool().free(
          static_cast<std::uint64_t>(static_cast<std::byte*>(memory) - memory_pool().at(0)),
          round(size));
      return;
    }
    const unsigned index = class_of(size);
    free_[index] = new (memory) Block{free_[index]};
  }

 private:
  struct Block {
    Block* next;
  };
  static constexpr unsigned kSmallestShift = 5;
  static constexpr unsigned kClasses = 10;

  static std::uint64_t round(std::size_t size) {
    return (size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
  }
  static unsigned class_of(std::size_t size) {
    const auto width = static_cast<unsigned>(std::bit_width(size == 0 ? 0 : size - 1));
    return width <= kSmallestShift ? 0 : width - kSmallestShift;
  }

  guest::Arena arena_;
  Block* free_[kClasses] = {};
};

constinit MemoryPool the_pool;
constinit ServerHeap the_heap;

}  // namespace

MemoryPool& memory_pool() {
  return the_pool;
}

bool MemoryPool::create(const guest::StartInfo& info, MemoryPool& pool) {
  const guest::Resource* memory = info.find(guest::Role::kMemory);
  const guest::Resource* high = info.find(guest::Role::kHighMemory);
  if (memory == nullptr || (high != nullptr && high->size > memory->size)) {
    memory = high;
  }
  if (memory == nullptr) {
    return false;
  }
  const std::uint64_t skew = -memory->physical & (abi::kLargePageSize - 1);
  pool.region_ = memory->slot;
  pool.size_ = pool.upper_ = memory->size;
  pool.address_ = kPoolAddress + (memory->physical & (abi::kLargePageSize - 1));
  if (!pool.map_up_to(std::min(pool.size_, kMapStep))) {
    return false;
  }
  pool.allocator_.emplace(pool.at(0), pool.size_, skew);
  return true;
}

bool MemoryPool::map(std::uint64_t start, std::uint64_t end) {
  return guest::map(abi::kSelfSlot, address_ + start, region_, start, end - start,
                    kRead | kWrite) == guest::Status::kOk;
}

bool MemoryPool::map_up_to(std::uint64_t end) {
  // Ends on a large page, so that the next step starts on one.
  const std::uint64_t bound = kPoolAddress & ~(abi::kLargePageSize - 1);
  std::uint64_t target = std::max(end, mapped_ + kMapStep);
  target = ((address_ + target - bound) & ~(abi::kLargePageSize - 1)) + bound - address_;
  target = target < end ? target + abi::kLargePageSize : target;
  target = std::min(target, upper_);
  if (!map(mapped_, target)) {
    return false;
  }
  mapped_ = target == upper_ ? size_ : target;
  return true;
}

// `start` is where a large page starts.
bool MemoryPool::map_down_to(std::uint64_t start) {
  const std::uint64_t more = std::min(start - mapped_, kMapStep - abi::kLargePageSize);
  const std::uint64_t target = start - (more & ~(abi::kLargePageSize - 1));
  if (!map(target, upper_)) {
    return false;
  }
  upper_ = target;
  return true;
}

std::byte* MemoryPool::at(std::uint64_t offset) const {
  return reinterpret_cast<std::byte*>(address_ + offset);
}

std::uint64_t MemoryPool::allocate(std::uint64_t size) {
  return reach(allocator_->allocate(size), size);
}

std::uint64_t MemoryPool::allocate_uncleared(std::uint64_t size) {
  return reach(allocator_->allocate_uncleared(size), size);
}

// Maps what was allocated for the server; kNone where that fails.
std::uint64_t MemoryPool::reach(std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t end = offset + size;
  if (offset == kNone || end <= mapped_ || offset >= upper_) {
    return offset;
  }
  // Only large pages come from the upper end.
  const bool from_above = size == abi::kLargePageSize && offset >= mapped_ + kMapStep;
  if (!(from_above ? map_down_to(offset) : map_up_to(end))) {
    allocator_->free_unseen(offset, size);
    return kNone;
  }
  return offset;
}

}  // namespace linux_server

// All of the server's objects come from the pool; where it is empty, new returns null
// (-fcheck-new).
void* operator new(std::size_t size) {
  return linux_server::the_heap.allocate(size);
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return linux_server::the_heap.allocate(size);
}
void* operator new[](std::size_t size) {
  return linux_server::the_heap.allocate(size);
}
void operator delete[](void* memory, std::size_t size) noexcept {
  linux_server::the_heap.release(memory, size);
}
void operator delete(void* memory, std::size_t size) noexcept {
  linux_server::the_heap.release(memory, size);
}
// Only ever named by code that knows no size, of which there is none.
void operator delete(void* /*memory*/) noexcept {}
void operator delete[](void* /*memory*/) noexcept {}

namespace std {
const nothrow_t nothrow{};
}
