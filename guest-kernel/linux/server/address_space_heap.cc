#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/promised_memory.h"

// The heap: brk(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kLargePage = abi::kLargePageSize;
constexpr std::uint8_t kProtectReadWrite = 3;
// A heap that grows by more than this gets its memory when it touches it.
constexpr std::uint64_t kEagerHeap = 16 * 1024 * 1024;
// What every program gets: more than malloc asks for at first.
constexpr std::uint64_t kFirstHeap = 192 * 1024;
constexpr std::uint64_t kHeapStep = 64 * 1024;

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) & ~(unit - 1);
}

}  // namespace

Result<void> AddressSpace::start_heap(std::uint64_t start) {
  heap_start_ = heap_end_ = heap_limit_ = start;
  if (memory_pool().is_plentiful(kFirstHeap) && !grow_heap(start + kFirstHeap)) {
    return fail(ENOMEM);
  }
  return {};
}

// Where a heap that has to reach `end` is to end. Where there is enough, it doubles up to a large
// page and then grows by those, so that it rarely has to.
std::uint64_t AddressSpace::next_heap_limit(std::uint64_t end) const {
  if (!memory_pool().is_plentiful(kLargePage)) {
    return round_up(end, kPage);
  }
  const std::uint64_t doubled = 2 * heap_limit_ - heap_start_;
  return doubled - heap_start_ > kLargePage / 2 ? round_up(end, kLargePage)
                                                : std::max(round_up(end, kHeapStep), doubled);
}

void AddressSpace::adopt_heap_end(std::uint64_t end) {
  if (end >= heap_start_ && end <= heap_limit_) {
    heap_end_ = end;
  }
}

// Adds memory up to `end` at least; no more than that where there is no room for more.
bool AddressSpace::grow_heap(std::uint64_t end) {
  Segment segment;
  segment.start = heap_limit_;
  segment.protection = kProtectReadWrite;
  segment.use = SegmentUse::kHeap;
  for (const std::uint64_t limit : {next_heap_limit(end), round_up(end, kPage)}) {
    segment.end = limit;
    if (!may_promise(segment.size()) || !may_grow(segment.size(), true) ||
        !segments_.is_free(segment.start, segment.end)) {
      continue;
    }
    const bool eager = segment.size() <= kEagerHeap && memory_pool().is_plentiful(segment.size());
    if (eager ? add_memory(segment) : insert(segment)) {
      heap_limit_ = segment.end;
      return true;
    }
    static_cast<void>(remove(segment.start, segment.size()));  // the part of it that was made
  }
  return false;
}

std::uint64_t AddressSpace::move_heap_end(std::uint64_t end) {
  if (end < heap_start_ || end >= abi::kUserEnd - kPage) {
    return heap_end_;
  }
  if (end > heap_end_ && end - heap_start_ > limits.data) {
    return heap_end_;
  }
  if (end > heap_limit_) {
    heap_end_ = grow_heap(end) ? end : heap_end_;
    return heap_end_;
  }
  if (end < heap_end_) {
    // Memory that the heap gave up reads as zero when it comes back.
    const std::uint64_t kept = std::min(round_up(end, kLargePage), heap_limit_);
    if (kept < heap_limit_) {
      if (!remove(kept, heap_limit_ - kept)) {
        return heap_end_;
      }
      heap_limit_ = kept;
    }
    for (std::uint64_t address = end; address < std::min(heap_end_, kept);) {
      const Segment* segment = segments_.find(address);
      if (segment == nullptr || segment->use != SegmentUse::kHeap) {
        address = round_up(address + 1, kPage);  // the program took it out itself
        continue;
      }
      const std::uint64_t stop = std::min({segment->end, heap_end_, kept});
      if (segment->backing == Backing::kNone) {
        address = stop;
        continue;
      }
      const auto piece = window(address, stop - address, Access::kWrite);
      if (!piece) {
        address = round_up(address + 1, kPage);  // the program may not write to it itself
        continue;
      }
      std::memset(piece->data(), 0, piece->size());
      address += piece->size();
    }
  }
  heap_end_ = end;
  return heap_end_;
}

}  // namespace linux_server
