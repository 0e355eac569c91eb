#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/memory_pool.h"

// What is behind the addresses: giving memory, mapping it, faults and copies on write.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kLargePage = abi::kLargePageSize;
constexpr std::uint8_t kProtectWrite = 2;
constexpr std::uint8_t kProtectExecute = 4;
// What a fault maps where a large page does not fit: more than the page, since a fault costs more
// than a dozen entries.
constexpr std::uint64_t kFaultWindow = 64 * 1024;
// The most that a fault maps behind memory that was touched from its start on.
constexpr std::uint64_t kLargestFaultWindow = 512 * 1024;
// One that uses much memory is given this share of it at each fault, up to a limit.
constexpr std::uint64_t kUsualShare = 8;
constexpr std::uint64_t kLargestUsualWindow = 1024 * 1024;
// A program with this many large pages goes on to use much. Its further ones come from where the
// host may back them by large pages of its own; those of small programs are seldom used up.
constexpr unsigned kFewLargePages = 4;
// The same for bytes that have to be copied.
constexpr std::uint64_t kCopyWindow = 16 * 1024;
// As many threads may fault on one page at once, and all but the first find it there.
constexpr unsigned kFutileFaults = 1024;
// The stack grows down to here at most, whatever the limit, and keeps a distance to what is below.
constexpr std::uint64_t kMaximumStack = 128 * 1024 * 1024;
constexpr std::uint64_t kStackGuard = 64 * 1024;

std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
  return value & ~(unit - 1);
}
std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return round_down(value + unit - 1, unit);
}

bool allows(std::uint8_t protection, Access access) {
  switch (access) {
    case Access::kRead:
      return protection != 0;  // x86 has no page that can be written or executed but not read
    case Access::kWrite:
      return (protection & kProtectWrite) != 0;
    case Access::kExecute:
      return (protection & kProtectExecute) != 0;
  }
  return false;
}

}  // namespace

std::byte* AddressSpace::view(const Segment& segment) const {
  if (segment.backing == Backing::kRoot) {
    return const_cast<std::byte*>(archive_.data()) + segment.offset;  // never written to
  }
  return memory_pool().at(segment.offset);
}

Result<void> AddressSpace::map_range(std::uint64_t start, std::uint64_t end) {
  Segment piece = segments_.piece(start, end);
  if (!piece.is_backed() || piece.protection == 0) {
    return {};
  }
  const std::uint8_t protection = piece.copy_on_write
                                      ? piece.protection & static_cast<std::uint8_t>(~kProtectWrite)
                                      : piece.protection;
  piece.mapped = piece.copy_on_write && (piece.protection & kProtectWrite) != 0 ? Mapped::kReadOnly
                                                                                : Mapped::kFully;
  if (const auto replaced = replace(piece); !replaced) {
    return replaced;
  }
  const guest::Slot region = piece.backing == Backing::kRoot ? root_ : memory_pool().region();
  const guest::Status status = guest::map(domain_, piece.start, region, piece.offset, piece.size(),
                                          protection | abi::kRightRead);
  return status == guest::Status::kOk ? Result<void>{} : fail(ENOMEM);
}

// Puts memory behind [start, end), which lies in one segment that has none.
Result<void> AddressSpace::give_memory(std::uint64_t start, std::uint64_t end) {
  while (start < end) {
    // A whole large page where one fits, else up to its border.
    const std::uint64_t border = round_down(start, kLargePage) + kLargePage;
    std::uint64_t size = std::min(end, border) - start;
    if (start % kLargePage != 0 && end - start <= kLargePage) {
      size = std::min(end - start, kLargePage - kPage);
    }
    std::uint64_t offset = size == kLargePage && ++large_pages_ > kFewLargePages
                               ? memory_pool().allocate_upper_block_for_program()
                               : memory_pool().allocate_for_program(size);
    while (offset == MemoryPool::kNone && size > kPage) {
      size = round_up(size / 2, kPage);
      offset = memory_pool().allocate_for_program(size);
    }
    if (offset == MemoryPool::kNone) {
      return fail(ENOMEM);
    }
    Segment piece = segments_.piece(start, start + size);
    piece.backing = Backing::kMemory;
    piece.offset = offset;
    piece.copy_on_write = false;
    if (const auto replaced = replace(piece); !replaced) {
      memory_pool().free(offset, size);
      return replaced;
    }
    if (const auto mapped = map_range(piece.start, piece.end); !mapped) {
      return mapped;
    }
    start += size;
  }
  return {};
}

Result<void> AddressSpace::copy_pages(std::uint64_t start, std::uint64_t end) {
  const Segment old = segments_.piece(start, end);
  const std::uint64_t offset = memory_pool().allocate_uncleared_for_program(old.size());
  if (offset == MemoryPool::kNone) {
    return fail(ENOMEM);
  }
  Segment piece = old;
  piece.backing = Backing::kMemory;
  piece.offset = offset;
  piece.copy_on_write = false;
  if (const auto replaced = replace(piece); !replaced) {
    memory_pool().free(offset, old.size());
    return replaced;
  }
  std::memcpy(memory_pool().at(offset), view(old), old.size());
  const auto mapped = map_range(start, end);
  // Not before the new pages are mapped: others may get the old ones.
  release(old);
  return mapped;
}

// Makes the page at `address` this space's own, and some around it.
Result<void> AddressSpace::break_sharing(std::uint64_t address) {
  const Segment* segment = segments_.find(address);
  const std::uint64_t window = round_down(address, kCopyWindow);
  Segment piece = segments_.piece(std::max(window, segment->start),
                                  std::min(window + kCopyWindow, segment->end));
  if (piece.backing == Backing::kMemory && !memory_pool().is_shared(piece.offset, piece.size())) {
    piece.copy_on_write = false;  // the others have gone
    if (const auto replaced = replace(piece); !replaced) {
      return replaced;
    }
    return map_range(piece.start, piece.end);
  }
  if (const auto copied = copy_pages(piece.start, piece.end); copied) {
    return copied;
  }
  const std::uint64_t page = round_down(address, kPage);
  return copy_pages(page, page + kPage);
}

// How much to give from `start` on: twice what is already there in front of it, since a program
// that went through that much goes on; and a share of all that the program was given so far. Where
// memory is short, no more than a fault's cost is worth.
std::uint64_t AddressSpace::fault_window(std::uint64_t start) const {
  if (!memory_pool().is_plentiful(kLargestUsualWindow)) {
    return kFaultWindow;
  }
  const Segment* before = start != 0 ? segments_.find(start - 1) : nullptr;
  const std::uint64_t run = before != nullptr && before->backing == Backing::kMemory
                                ? std::min(2 * before->size(), kLargestFaultWindow)
                                : 0;
  const std::uint64_t share = std::min(given_ / kUsualShare, kLargestUsualWindow);
  return std::max(round_down(std::max(run, share), kFaultWindow), kFaultWindow);
}

FaultOutcome AddressSpace::fill_hole(const Segment& segment, std::uint64_t address) {
  std::uint64_t start = round_down(address, kLargePage);
  std::uint64_t end = start + kLargePage;
  if (segment.use == SegmentUse::kStack && segment.size() <= kLargestFaultWindow) {
    start = segment.start;  // grow_stack() has chosen it
    end = segment.end;
  } else if (start < segment.start || end > segment.end ||
             !memory_pool().is_plentiful(kLargePage)) {
    start = std::max(round_down(address, kFaultWindow), segment.start);
    // Not over a border: from there on large pages may fit.
    end = std::min({round_down(address, kFaultWindow) + fault_window(start), end, segment.end});
  }
  if (give_memory(start, end)) {
    given_ += end - start;
    return FaultOutcome::kResolved;
  }
  // The window did not fit any more; perhaps the page itself has got its memory.
  const Segment* now = segments_.find(address);
  const std::uint64_t page = round_down(address, kPage);
  return now->is_backed() || give_memory(page, page + kPage) ? FaultOutcome::kResolved
                                                             : FaultOutcome::kNoMemory;
}

const Segment* AddressSpace::find_or_grow(std::uint64_t address) {
  const Segment* segment = segments_.find(address);
  const std::uint64_t limit = std::min(limits.stack, kMaximumStack);
  if (segment != nullptr || address >= shim::kStackTop || address < shim::kStackTop - limit) {
    return segment;
  }
  const std::size_t index = segments_.index_after(address);
  const Segment* above = index < segments_.size() ? &segments_.at(index) : nullptr;
  if (above == nullptr || above->use != SegmentUse::kStack) {
    return nullptr;
  }
  return grow_stack(*above, address) ? segments_.find(address) : nullptr;
}

// Adds to the stack `above` what is between it and `address`, and where there is room twice as much
// as it has: what goes that deep goes deeper.
bool AddressSpace::grow_stack(const Segment& above, std::uint64_t address) {
  const std::uint64_t lowest =
      round_up(shim::kStackTop - std::min(limits.stack, kMaximumStack), kPage);
  const std::uint64_t more =
      memory_pool().is_plentiful(kLargestFaultWindow)
          ? std::clamp(above.size(), kFaultWindow, kLargestFaultWindow) - kFaultWindow
          : 0;
  Segment piece = above;
  piece.end = above.start;
  piece.backing = Backing::kNone;
  piece.offset = 0;
  piece.copy_on_write = false;
  piece.mapped = Mapped::kNothing;
  for (const std::uint64_t extra : {more, std::uint64_t{0}}) {
    const std::uint64_t wanted = round_down(address, kFaultWindow) - extra;
    piece.start = std::max(wanted, lowest);
    if (segments_.is_free(piece.start - std::min(kStackGuard, piece.start), piece.end) &&
        may_grow(piece.size(), true)) {
      return insert(piece).has_value();
    }
  }
  return false;
}

FaultOutcome AddressSpace::handle_fault(std::uint64_t address, Access access) {
  const Segment* segment = find_or_grow(address);
  if (segment == nullptr || !allows(segment->protection, access)) {
    return FaultOutcome::kBadAddress;
  }
  if (segment->backing == Backing::kNone) {
    return fill_hole(*segment, address);
  }
  if (segment->backing == Backing::kFile) {
    const FaultOutcome filled = fill_from_file(*segment, address);
    if (filled != FaultOutcome::kResolved) {
      return filled;
    }
    segment = segments_.find(address);
    if (access != Access::kWrite || !segment->copy_on_write) {
      return filled;
    }
  }
  if (access == Access::kWrite && segment->copy_on_write) {
    return break_sharing(address) ? FaultOutcome::kResolved : FaultOutcome::kNoMemory;
  }
  if (segment->mapped != Mapped::kNothing) {
    // It is mapped: the fault was another thread's race, or mapping again does not help.
    repeated_faults_ = last_fault_ == address ? repeated_faults_ + 1 : 0;
    last_fault_ = address;
    if (repeated_faults_ >= kFutileFaults) {
      return FaultOutcome::kBadAddress;
    }
  }
  const std::uint64_t window = round_down(address, kFaultWindow);
  return map_range(std::max(window, segment->start), std::min(window + kFaultWindow, segment->end))
             ? FaultOutcome::kResolved
             : FaultOutcome::kNoMemory;
}

Result<std::span<std::byte>> AddressSpace::window(std::uint64_t address, std::uint64_t size,
                                                  Access access) {
  const Segment* segment = find_or_grow(address);
  if (segment == nullptr || !allows(segment->protection, access)) {
    return fail(EFAULT);
  }
  if (!segment->is_backed() || (access == Access::kWrite && segment->copy_on_write)) {
    const FaultOutcome outcome = handle_fault(address, access);
    if (outcome != FaultOutcome::kResolved) {
      return fail(outcome == FaultOutcome::kNoMemory ? ENOMEM : EFAULT);
    }
    segment = segments_.find(address);
  }
  return std::span(view(*segment) + (address - segment->start),
                   std::min(size, segment->end - address));
}

}  // namespace linux_server
