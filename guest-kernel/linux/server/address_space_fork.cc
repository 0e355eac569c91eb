#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/memory_pool.h"

// fork(2): a second space with the same contents.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint8_t kProtectWrite = 2;
constexpr std::uint8_t kProtectExecute = 4;
// Around the stack pointer, where both sides are about to write.
constexpr std::uint64_t kStackBelow = 4 * 1024;
constexpr std::uint64_t kStackAbove = 12 * 1024;
// To copy this much costs less than the two faults that sharing it brings, where ring 0 is dear.
constexpr std::uint64_t kCopiedAtOnce = 64 * 1024;
// The same for pages that nobody writes to: to map so many costs less than one fault.
constexpr std::uint64_t kMappedAtOnce = 512 * 1024;

std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
  return value & ~(unit - 1);
}

}  // namespace

// Lets `child` have what is behind one of this space's segments.
Result<void> AddressSpace::share_segment(Segment& segment, AddressSpace& child,
                                         const Forking& forking) {
  Segment copy = segment;
  copy.mapped = Mapped::kNothing;
  copy.locked = false;
  if (segment.fork_rule == ForkRule::kOmit) {
    return {};
  }
  if (segment.fork_rule == ForkRule::kWipe && segment.backing == Backing::kMemory) {
    copy.backing = Backing::kNone;
    copy.offset = 0;
    copy.copy_on_write = false;
    return child.insert(copy);
  }
  if (segment.backing != Backing::kMemory) {
    const auto added = child.insert(copy);
    // The program's own instructions and constants are needed at once.
    const bool is_needed =
        segment.backing == Backing::kShared ||
        (segment.backing == Backing::kRoot && segment.mapped == Mapped::kFully &&
         ((segment.protection & kProtectExecute) != 0 || segment.size() <= kMappedAtOnce));
    return added && is_needed ? child.map_range(copy.start, copy.end) : added;
  }
  if (!memory_pool().share(segment.offset, segment.size())) {
    return fail(ENOMEM);
  }
  copy.copy_on_write = copy.copy_on_write || !copy.shared;
  if (const auto added = child.insert(copy); !added) {
    memory_pool().free(segment.offset, segment.size());
    return added;
  }
  if (segment.use == SegmentUse::kShim) {
    return child.copy_pages(copy.start, copy.end);
  }
  if (segment.shared) {
    return {};
  }
  const bool small = segment.size() <= kCopiedAtOnce;
  const bool writable = (segment.protection & kProtectWrite) != 0;
  // Not while other threads write: a copy has to show their stores in their order.
  if (small && writable && forking.alone && memory_pool().is_plentiful(kCopiedAtOnce) &&
      child.copy_pages(copy.start, copy.end)) {
    return {};
  }
  // The child gets its part of the stack now; then nothing has changed for the parent there.
  std::uint64_t hot_start = segment.end;
  std::uint64_t hot_end = segment.end;
  const std::uint64_t stack = forking.stack_pointer;
  if (segment.use == SegmentUse::kStack && stack >= segment.start && stack < segment.end) {
    hot_start = std::max(segment.start, round_down(stack - kStackBelow, kPage));
    hot_end = std::min(segment.end, round_down(stack + kStackAbove, kPage) + kPage);
    if (const auto copied = child.copy_pages(hot_start, hot_end); !copied) {
      return copied;
    }
  }
  const std::uint64_t ranges[][2] = {{segment.start, hot_start}, {hot_end, segment.end}};
  for (const auto& [start, end] : ranges) {
    if (start == end || segment.copy_on_write) {
      continue;
    }
    Segment piece = segments_.piece(start, end);
    piece.copy_on_write = true;
    const Mapped was_mapped = piece.mapped;
    // A large page is taken away rather than split: what is needed of it comes back by itself.
    const bool large = piece.size() > abi::kLargePageSize / 2;
    if (writable && was_mapped != Mapped::kNothing) {
      piece.mapped = large ? Mapped::kNothing : Mapped::kReadOnly;
    }
    if (const auto replaced = replace(piece); !replaced) {
      return replaced;
    }
    if (!writable || was_mapped == Mapped::kNothing) {
      continue;
    }
    const guest::Status status =
        large ? guest::unmap(domain_, piece.start, piece.size())
              : guest::protect(domain_, piece.start, piece.size(),
                               (piece.protection & ~kProtectWrite) | abi::kRightRead);
    if (status != guest::Status::kOk) {
      return fail(ENOMEM);
    }
  }
  return small && !writable ? child.map_range(copy.start, copy.end) : Result<void>{};
}

Result<void> AddressSpace::copy_from(AddressSpace& parent, const Forking& forking) {
  heap_start_ = parent.heap_start_;
  heap_end_ = parent.heap_end_;
  heap_limit_ = parent.heap_limit_;
  limits = parent.limits;
  if (parent.program_) {
    set_program(*parent.program_);
  }
  // Sharing cuts segments up and joins them as it goes, so what is next is found by its address.
  for (std::uint64_t address = 0;;) {
    const std::size_t index = parent.segments_.index_after(address);
    if (index == parent.segments_.size()) {
      return {};
    }
    const Segment& next = parent.segments_.at(index);
    Segment segment = parent.segments_.piece(std::max(address, next.start), next.end);
    address = segment.end;
    if (const auto shared = parent.share_segment(segment, *this, forking); !shared) {
      return shared;
    }
  }
}

}  // namespace linux_server
