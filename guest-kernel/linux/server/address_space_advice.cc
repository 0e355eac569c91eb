#include <algorithm>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/node.h"

// What madvise(2), mlock(2) and setrlimit(2) say about ranges. They skip what is not mapped.
namespace linux_server {

template <typename Change>
Result<void> AddressSpace::change_all(std::uint64_t start, std::uint64_t size, Change change) {
  const std::uint64_t end = start + size;
  while (start < end) {
    const std::size_t index = segments_.index_after(start);
    if (index == segments_.size() || segments_.at(index).start >= end) {
      break;
    }
    const Segment& next = segments_.at(index);
    const Segment segment = segments_.piece(std::max(start, next.start), end);
    start = segment.end;
    if (segment.use == SegmentUse::kShim) {
      continue;
    }
    if (const Result<void> changed = change(segment); !changed) {
      return changed;
    }
  }
  return {};
}

Result<void> AddressSpace::set_fork_rule(std::uint64_t start, std::uint64_t size, ForkRule rule) {
  return change_all(start, size, [&](Segment segment) {
    const bool differs = segment.fork_rule != rule;
    segment.fork_rule = rule;
    return differs ? replace(segment) : Result<void>{};
  });
}

Result<void> AddressSpace::set_locked(std::uint64_t start, std::uint64_t size, bool locked) {
  return change_all(start, size, [&](Segment segment) {
    const bool differs = segment.locked != locked;
    segment.locked = locked;
    return differs ? replace(segment) : Result<void>{};
  });
}

Result<void> AddressSpace::populate(std::uint64_t start, std::uint64_t size, Access access) {
  const std::uint64_t end = start + size;
  while (start < end) {
    const auto piece = window(start, end - start, access);
    if (!piece) {
      return std::unexpected(piece.error());
    }
    start += piece->size();
  }
  return {};
}

bool AddressSpace::may_grow(std::uint64_t size, bool is_data) const {
  const auto exceeds = [size](std::uint64_t limit, std::uint64_t used) {
    return limit != MemoryLimits::kUnlimited && (size > limit || used > limit - size);
  };
  if (limits.address_space != MemoryLimits::kUnlimited &&
      exceeds(limits.address_space, segments_.total_size())) {
    return false;
  }
  if (!is_data || limits.data == MemoryLimits::kUnlimited) {
    return true;
  }
  std::uint64_t data = 0;
  for (const Segment& segment : segments_) {
    constexpr std::uint8_t kProtectWrite = 2;
    const bool counts = !segment.shared && (segment.protection & kProtectWrite) != 0 &&
                        segment.use != SegmentUse::kStack && segment.use != SegmentUse::kShim;
    data += counts ? segment.size() : 0;
  }
  return !exceeds(limits.data, data);
}

Result<void> AddressSpace::discard(std::uint64_t start, std::uint64_t size) {
  return change_all(start, size, [&](const Segment& segment) {
    return segment.backing == Backing::kMemory && !segment.shared ? discard_piece(segment)
                                                                  : Result<void>{};
  });
}

Result<void> AddressSpace::discard_piece(const Segment& segment) {
  const Reference<Node> file(segment.file);
  if (const auto removed = remove(segment.start, segment.size()); !removed) {
    return removed;
  }
  Segment empty = segment;
  empty.backing = Backing::kNone;
  empty.offset = 0;
  empty.copy_on_write = false;
  empty.mapped = Mapped::kNothing;
  return file ? add_file(empty) : insert(empty);
}

}  // namespace linux_server
