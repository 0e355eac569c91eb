#include "guest-kernel/linux/server/address_space.h"

#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/shim/layout.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kLargePage = abi::kLargePageSize;
constexpr std::uint8_t kProtectRead = 1;
constexpr std::uint8_t kProtectWrite = 2;
constexpr std::uint8_t kProtectExecute = 4;
// What a fault maps where a large page does not fit: more than the page, since a fault costs more
// than a dozen entries.
constexpr std::uint64_t kFaultWindow = 64 * 1024;
// A heap that grows by more than this gets its memory when it touches it.
constexpr std::uint64_t kEagerHeap = 16 * 1024 * 1024;
constexpr unsigned kFutileFaults = 4;

std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
  return value & ~(unit - 1);
}
std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return round_down(value + unit - 1, unit);
}

bool is_user_range(std::uint64_t start, std::uint64_t size) {
  if (size == 0 || start < abi::kUserStart || start >= abi::kUserEnd ||
      size > abi::kUserEnd - start) {
    return false;
  }
  return start >= abi::kSharedEnd || start + size <= abi::kSharedStart;
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

// Large enough machines back untouched memory by large pages.
bool is_plentiful(std::uint64_t size) {
  return memory_pool().available() >= size + memory_pool().total() / 4;
}

}  // namespace

AddressSpace::AddressSpace(guest::Slot domain, guest::Slot root, std::span<const std::byte> archive)
    : domain_(domain), root_(root), archive_(archive) {}

AddressSpace::~AddressSpace() {
  for (const Segment& segment : segments_) {
    release(segment);
  }
}

void AddressSpace::release(const Segment& segment) {
  if (segment.backing == Backing::kMemory) {
    memory_pool().free(segment.offset, segment.size());
  }
}

std::byte* AddressSpace::view(const Segment& segment) const {
  if (segment.backing == Backing::kRoot) {
    return const_cast<std::byte*>(archive_.data()) + segment.offset;  // never written to
  }
  return memory_pool().at(segment.offset);
}

Result<void> AddressSpace::map_segment(const Segment& segment) {
  if (segment.backing == Backing::kNone || segment.protection == 0) {
    return {};
  }
  const guest::Slot region = segment.backing == Backing::kRoot ? root_ : memory_pool().region();
  const guest::Status status = guest::map(domain_, segment.start, region, segment.offset,
                                          segment.size(), segment.protection | abi::kRightRead);
  return status == guest::Status::kOk ? Result<void>{} : fail(ENOMEM);
}

Result<void> AddressSpace::add(const Segment& segment) {
  if (!is_user_range(segment.start, segment.size()) ||
      !segments_.is_free(segment.start, segment.end)) {
    return fail(ENOMEM);
  }
  if (!segments_.insert(segment)) {
    return fail(ENOMEM);
  }
  return map_segment(segment);
}

Result<void> AddressSpace::add_memory(Segment segment) {
  segment.backing = Backing::kNone;
  if (const auto added = add(segment); !added) {
    return added;
  }
  return give_memory(segment.start, segment.end);
}

// Puts memory behind [start, end), which lies in one segment that has none.
Result<void> AddressSpace::give_memory(std::uint64_t start, std::uint64_t end) {
  if (!segments_.split(start, end)) {
    return fail(ENOMEM);
  }
  while (start < end) {
    // A whole large page where one fits, else up to its border.
    const std::uint64_t border = round_down(start, kLargePage) + kLargePage;
    std::uint64_t size = std::min(end, border) - start;
    if (start % kLargePage != 0 && end - start <= kLargePage) {
      size = std::min(end - start, kLargePage - kPage);
    }
    std::uint64_t offset = memory_pool().allocate(size);
    while (offset == MemoryPool::kNone && size > kPage) {
      size = round_up(size / 2, kPage);
      offset = memory_pool().allocate(size);
    }
    if (offset == MemoryPool::kNone) {
      return fail(ENOMEM);
    }
    if (!segments_.split(start, start + size)) {
      memory_pool().free(offset, size);
      return fail(ENOMEM);
    }
    Segment piece = *segments_.find(start);
    piece.backing = Backing::kMemory;
    piece.offset = offset;
    segments_.remove(piece.start, piece.end);
    if (!segments_.insert(piece)) {
      memory_pool().free(offset, size);
      return fail(ENOMEM);
    }
    if (const auto mapped = map_segment(piece); !mapped) {
      return mapped;
    }
    start += size;
  }
  return {};
}

Result<void> AddressSpace::add_contents(const Segment& segment,
                                        std::span<const std::byte> contents) {
  const std::uint64_t archive_offset = reinterpret_cast<std::uint64_t>(contents.data()) -
                                       reinterpret_cast<std::uint64_t>(archive_.data());
  std::uint64_t in_place = 0;
  if ((segment.protection & kProtectWrite) == 0 && archive_offset < archive_.size() &&
      archive_offset % kPage == 0) {
    in_place = std::min(round_down(contents.size(), kPage), segment.size());
  }
  if (in_place != 0) {
    Segment first = segment;
    first.end = segment.start + in_place;
    first.backing = Backing::kRoot;
    first.offset = archive_offset;
    if (const auto added = add(first); !added) {
      return added;
    }
  }
  const std::uint64_t copied =
      std::min(round_up(contents.size(), kPage), segment.size()) - in_place;
  if (copied != 0) {
    Segment second = segment;
    second.start = segment.start + in_place;
    second.end = second.start + copied;
    second.file_offset += in_place;
    // Filled before anybody is told that it is there: the server's view ignores protection.
    if (const auto added = add_memory(second); !added) {
      return added;
    }
    std::span<const std::byte> rest = contents.subspan(in_place);
    for (std::uint64_t address = second.start; address < second.end && !rest.empty();) {
      const Segment& piece = *segments_.find(address);
      const std::uint64_t count = std::min<std::uint64_t>(piece.end - address, rest.size());
      std::memcpy(view(piece) + (address - piece.start), rest.data(), count);
      rest = rest.subspan(count);
      address += count;
    }
  }
  if (in_place + copied == segment.size()) {
    return {};
  }
  Segment last = segment;
  last.start = segment.start + in_place + copied;
  last.file_offset += in_place + copied;
  last.backing = Backing::kNone;
  return add(last);
}

std::uint64_t AddressSpace::find_range(std::uint64_t size, std::uint64_t hint) const {
  if (hint != 0 && is_user_range(hint, size) && segments_.is_free(hint, hint + size)) {
    return hint;
  }
  const std::uint64_t alignment = size >= kLargePage ? kLargePage : kPage;
  return segments_.find_gap(size, abi::kUserStart, shim::kCode, alignment);
}

Result<void> AddressSpace::remove(std::uint64_t start, std::uint64_t size) {
  const std::uint64_t end = start + size;
  if (!is_user_range(start, size)) {
    return fail(EINVAL);
  }
  if (!segments_.split(start, end)) {
    return fail(ENOMEM);
  }
  bool mapped = false;
  for (std::size_t index = segments_.index_after(start);
       index < segments_.size() && segments_.at(index).start < end; ++index) {
    if (segments_.at(index).use == SegmentUse::kShim) {
      return fail(EINVAL);
    }
    mapped = mapped || segments_.at(index).backing != Backing::kNone;
  }
  if (mapped && guest::unmap(domain_, start, size) != guest::Status::kOk) {
    return fail(ENOMEM);
  }
  for (std::size_t index = segments_.index_after(start);
       index < segments_.size() && segments_.at(index).start < end; ++index) {
    release(segments_.at(index));
  }
  segments_.remove(start, end);
  return {};
}

// Gives pages of the root archive that will be written to a copy of their own.
Result<void> AddressSpace::make_private(std::uint64_t start, std::uint64_t end) {
  while (start < end) {
    Segment segment = *segments_.find(start);
    start = segment.end;
    if (segment.backing != Backing::kRoot) {
      continue;
    }
    const std::byte* contents = view(segment);
    segments_.remove(segment.start, segment.end);
    segment.backing = Backing::kNone;
    if (!segments_.insert(segment)) {
      return fail(ENOMEM);
    }
    if (const auto given = give_memory(segment.start, segment.end); !given) {
      return given;
    }
    for (std::uint64_t address = segment.start; address < segment.end;) {
      const Segment& piece = *segments_.find(address);
      const std::uint64_t count = std::min(piece.end, segment.end) - address;
      std::memcpy(view(piece) + (address - piece.start), contents + (address - segment.start),
                  count);
      address += count;
    }
  }
  return {};
}

Result<void> AddressSpace::protect(std::uint64_t start, std::uint64_t size,
                                   std::uint8_t protection) {
  const std::uint64_t end = start + size;
  if (!is_user_range(start, size) || !segments_.covers(start, end) ||
      !segments_.split(start, end)) {
    return fail(ENOMEM);
  }
  for (std::size_t index = segments_.index_after(start);
       index < segments_.size() && segments_.at(index).start < end; ++index) {
    if (segments_.at(index).use == SegmentUse::kShim) {
      return fail(EACCES);
    }
  }
  if ((protection & kProtectWrite) != 0) {
    if (const auto copied = make_private(start, end); !copied) {
      return copied;
    }
  }
  for (std::uint64_t address = start; address < end;) {
    Segment segment = *segments_.find(address);
    segment.offset += address - segment.start;
    segment.file_offset += address - segment.start;
    segment.start = address;
    segment.end = std::min(segment.end, end);
    address = segment.end;
    const bool was_mapped = segment.backing != Backing::kNone && segment.protection != 0;
    segment.protection = protection;
    if (!segments_.split(segment.start, segment.end)) {
      return fail(ENOMEM);
    }
    segments_.remove(segment.start, segment.end);
    if (!segments_.insert(segment)) {
      return fail(ENOMEM);
    }
    if (protection == 0) {
      if (was_mapped &&
          guest::unmap(domain_, segment.start, segment.size()) != guest::Status::kOk) {
        return fail(ENOMEM);
      }
    } else if (const auto mapped = map_segment(segment); !mapped) {
      return mapped;
    }
  }
  return {};
}

Result<void> AddressSpace::move(std::uint64_t from, std::uint64_t size, std::uint64_t to) {
  if (!is_user_range(from, size) || !is_user_range(to, size) ||
      !segments_.covers(from, from + size) || !segments_.is_free(to, to + size) ||
      !segments_.split(from, from + size)) {
    return fail(ENOMEM);
  }
  if (guest::unmap(domain_, from, size) != guest::Status::kOk) {
    return fail(ENOMEM);
  }
  for (std::uint64_t moved = 0; moved < size;) {
    Segment segment = *segments_.find(from + moved);
    const std::uint64_t skipped = from + moved - segment.start;
    segment.start += skipped;
    segment.offset += skipped;
    segment.file_offset += skipped;
    segment.end = std::min(segment.end, from + size);
    segments_.remove(segment.start, segment.end);
    const std::uint64_t length = segment.size();
    segment.start = to + moved;
    segment.end = segment.start + length;
    if (!segments_.insert(segment)) {
      release(segment);
      return fail(ENOMEM);
    }
    if (const auto mapped = map_segment(segment); !mapped) {
      return mapped;
    }
    moved += length;
  }
  return {};
}

Result<void> AddressSpace::discard(std::uint64_t start, std::uint64_t size) {
  const std::uint64_t end = start + size;
  if (!is_user_range(start, size) || !segments_.covers(start, end)) {
    return fail(ENOMEM);
  }
  for (std::uint64_t address = start; address < end;) {
    const Segment segment = *segments_.find(address);
    const std::uint64_t stop = std::min(segment.end, end);
    if (segment.backing == Backing::kMemory && segment.file == nullptr &&
        (segment.use == SegmentUse::kAnonymous || segment.use == SegmentUse::kHeap)) {
      if (const auto removed = remove(address, stop - address); !removed) {
        return removed;
      }
      Segment empty = segment;
      empty.start = address;
      empty.end = stop;
      empty.backing = Backing::kNone;
      empty.offset = 0;
      if (!segments_.insert(empty)) {
        return fail(ENOMEM);
      }
    }
    address = stop;
  }
  return {};
}

FaultOutcome AddressSpace::handle_fault(std::uint64_t address, Access access) {
  const Segment* segment = segments_.find(address);
  if (segment == nullptr || !allows(segment->protection, access)) {
    return FaultOutcome::kBadAddress;
  }
  if (segment->backing != Backing::kNone) {
    // It is mapped: the fault was another thread's race, or mapping again does not help.
    repeated_faults_ = last_fault_ == address ? repeated_faults_ + 1 : 0;
    last_fault_ = address;
    if (repeated_faults_ >= kFutileFaults) {
      return FaultOutcome::kBadAddress;
    }
    return map_segment(*segment) ? FaultOutcome::kResolved : FaultOutcome::kNoMemory;
  }
  std::uint64_t start = round_down(address, kLargePage);
  std::uint64_t end = start + kLargePage;
  if (start < segment->start || end > segment->end || !is_plentiful(kLargePage)) {
    start = std::max(round_down(address, kFaultWindow), segment->start);
    end = std::min(round_down(address, kFaultWindow) + kFaultWindow, segment->end);
  }
  if (give_memory(start, end)) {
    return FaultOutcome::kResolved;
  }
  // The window did not fit any more; perhaps the page itself has got its memory.
  segment = segments_.find(address);
  const std::uint64_t page = round_down(address, kPage);
  return segment->backing != Backing::kNone || give_memory(page, page + kPage)
             ? FaultOutcome::kResolved
             : FaultOutcome::kNoMemory;
}

Result<std::span<std::byte>> AddressSpace::window(std::uint64_t address, std::uint64_t size,
                                                  Access access) {
  const Segment* segment = segments_.find(address);
  if (segment == nullptr || !allows(segment->protection, access)) {
    return fail(EFAULT);
  }
  if (segment->backing == Backing::kNone) {
    if (handle_fault(address, access) != FaultOutcome::kResolved) {
      return fail(ENOMEM);
    }
    segment = segments_.find(address);
  }
  return std::span(view(*segment) + (address - segment->start),
                   std::min(size, segment->end - address));
}

Result<void> AddressSpace::start_heap(std::uint64_t start) {
  heap_start_ = heap_end_ = heap_limit_ = start;
  if (is_plentiful(kLargePage) && !grow_heap(start + kLargePage)) {
    return fail(ENOMEM);
  }
  return {};
}

void AddressSpace::adopt_heap_end(std::uint64_t end) {
  if (end >= heap_start_ && end <= heap_limit_) {
    heap_end_ = end;
  }
}

// Adds memory up to `end` at least: in large pages where there is enough, so that growing rarely
// asks the nucleus.
bool AddressSpace::grow_heap(std::uint64_t end) {
  Segment segment;
  segment.start = heap_limit_;
  segment.end = round_up(end, is_plentiful(kLargePage) ? kLargePage : kPage);
  segment.protection = kProtectRead | kProtectWrite;
  segment.use = SegmentUse::kHeap;
  if (segment.size() > memory_pool().total()) {
    return false;
  }
  const bool eager = segment.size() <= kEagerHeap && is_plentiful(segment.size());
  if (!(eager ? add_memory(segment) : add(segment))) {
    return false;
  }
  heap_limit_ = segment.end;
  return true;
}

std::uint64_t AddressSpace::move_heap_end(std::uint64_t end) {
  if (end < heap_start_ || !is_user_range(heap_start_, end - heap_start_ + kPage)) {
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
        address = round_down(address, kPage) + kPage;  // the program took it out itself
        continue;
      }
      const std::uint64_t stop = std::min({segment->end, heap_end_, kept});
      if (segment->backing != Backing::kNone) {
        std::memset(view(*segment) + (address - segment->start), 0, stop - address);
      }
      address = stop;
    }
  }
  heap_end_ = end;
  return heap_end_;
}

}  // namespace linux_server
