#include <asm/unistd.h>
#include <linux/mman.h>

#include <algorithm>
#include <array>
#include <optional>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/disk_nodes.h"
#include "guest-kernel/linux/server/memory_pool.h"

// What programs say and ask about their memory: madvise(2), mincore(2), mlock(2), msync(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kPageMask = kPage - 1;
constexpr auto kLockMemory = static_cast<Capability>(14);  // CAP_IPC_LOCK

struct Range {
  std::uint64_t start = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const { return end - start; }
  bool empty() const { return start == end; }
};

// In whole pages. Nothing: the end wraps.
std::optional<Range> range_of(std::uint64_t start, std::uint64_t size) {
  const std::uint64_t rounded = (size + kPageMask) & ~kPageMask;
  if ((size != 0 && rounded == 0) || start + rounded < start) {
    return {};
  }
  return Range{start, start + rounded};
}

bool is_covered(const AddressSpace& space, const Range& range) {
  return range.empty() ||
         (range.end <= abi::kUserEnd && space.segments().covers(range.start, range.end));
}

// The part of a range that can have segments.
Range clip(const Range& range) {
  const std::uint64_t end = std::min(range.end, abi::kUserEnd);
  return {std::min(range.start, end), end};
}

enum class Advice : std::uint8_t {
  kUnknown,
  kNothing,
  kDiscard,
  kFree,
  kRemove,
  kOmit,
  kCopy,
  kWipe,
  kPopulateRead,
  kPopulateWrite,
};

Advice advice_of(std::uint64_t number) {
  switch (static_cast<std::uint32_t>(number)) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
      return Advice::kDiscard;
    case MADV_FREE:
      return Advice::kFree;
    case MADV_REMOVE:
      return Advice::kRemove;
    case MADV_DONTFORK:
      return Advice::kOmit;
    case MADV_DOFORK:
    case MADV_KEEPONFORK:
      return Advice::kCopy;
    case MADV_WIPEONFORK:
      return Advice::kWipe;
    case MADV_POPULATE_READ:
      return Advice::kPopulateRead;
    case MADV_POPULATE_WRITE:
      return Advice::kPopulateWrite;
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_COLD:
    case MADV_PAGEOUT:
      return Advice::kNothing;
    default:
      return Advice::kUnknown;
  }
}

// Whether each segment in the range may be advised so.
bool suits(const AddressSpace& space, const Range& range, Advice advice, bool discards_locked) {
  const SegmentMap& segments = space.segments();
  for (const Segment* segment = segments.begin() + segments.index_after(range.start);
       segment < segments.end() && segment->start < range.end; ++segment) {
    const bool is_private_memory = segment->file == nullptr && !segment->shared;
    const bool needs_memory = advice == Advice::kFree || advice == Advice::kWipe;
    const bool keeps = advice == Advice::kDiscard && segment->locked && !discards_locked;
    if ((needs_memory && !is_private_memory) || keeps) {
      return false;
    }
  }
  return true;
}

// MADV_REMOVE: the range's bytes in the shared file become a hole.
std::int64_t remove_from_files(AddressSpace& space, const Range& range) {
  for (std::uint64_t at = range.start; at < range.end;) {
    if (space.segments().find(at) == nullptr) {
      return -ENOMEM;
    }
    const Segment segment = space.segments().piece(at, range.end);
    if (segment.locked || segment.file == nullptr) {
      return -EINVAL;
    }
    if (!segment.shared || (segment.allowed & PROT_WRITE) == 0) {
      return -EACCES;
    }
    const Reference<Node> file(segment.file);
    const auto removed =
        file->allocate(AllocationKind::kPunchHole, segment.file_offset, segment.size());
    if (!removed) {
      return -removed.error().number;
    }
    at = segment.end;
  }
  return 0;
}

std::int64_t populate(AddressSpace& space, const Range& range, Access access) {
  if (!is_covered(space, range)) {
    return -ENOMEM;
  }
  const auto populated = space.populate(range.start, range.size(), access);
  return populated ? 0 : -populated.error().number;
}

std::int64_t call_madvise(Task& task) {
  AddressSpace& space = task.process->space();
  const Advice advice = advice_of(task.arguments[2]);
  const auto whole = range_of(task.arguments[0], task.arguments[1]);
  if (advice == Advice::kUnknown || (task.arguments[0] & kPageMask) != 0 || !whole) {
    return -EINVAL;
  }
  if (whole->empty()) {
    return 0;
  }
  const Range range = clip(*whole);
  const bool discards_locked = task.arguments[2] == MADV_DONTNEED_LOCKED;
  if (!suits(space, range, advice, discards_locked)) {
    return -EINVAL;
  }
  Result<void> result;
  switch (advice) {
    case Advice::kDiscard:
      result = space.discard(range.start, range.size());
      break;
    case Advice::kRemove:
      return remove_from_files(space, range);
    case Advice::kOmit:
      result = space.set_fork_rule(range.start, range.size(), ForkRule::kOmit);
      break;
    case Advice::kCopy:
      result = space.set_fork_rule(range.start, range.size(), ForkRule::kCopy);
      break;
    case Advice::kWipe:
      result = space.set_fork_rule(range.start, range.size(), ForkRule::kWipe);
      break;
    case Advice::kPopulateRead:
      return populate(space, *whole, Access::kRead);
    case Advice::kPopulateWrite:
      return populate(space, *whole, Access::kWrite);
    case Advice::kUnknown:
    case Advice::kNothing:
    case Advice::kFree:
      break;
  }
  if (!result) {
    return -result.error().number;
  }
  // What lies beside holes has been done all the same.
  return is_covered(space, *whole) ? 0 : -ENOMEM;
}

// Memory that was given ahead of its use, and is still zero, does not count.
bool is_resident(const Segment& segment, std::uint64_t address) {
  if (segment.backing == Backing::kFile) {
    const std::uint64_t index = (segment.file_offset + (address - segment.start)) / kPage;
    return segment.file->page(index, false) != MemoryPool::kNone;
  }
  if (segment.backing != Backing::kMemory || segment.file != nullptr) {
    return segment.is_backed();
  }
  const std::byte* const page = memory_pool().at(segment.offset + (address - segment.start));
  return std::any_of(page, page + kPage, [](std::byte each) { return each != std::byte{}; });
}

std::int64_t call_mincore(Task& task) {
  AddressSpace& space = task.process->space();
  const auto range = range_of(task.arguments[0], task.arguments[1]);
  if ((task.arguments[0] & kPageMask) != 0) {
    return -EINVAL;
  }
  if (!range || range->end > abi::kUserEnd) {
    return -ENOMEM;
  }
  // A part at a time: others have their turn in between.
  constexpr std::uint64_t kAtOnce = 4096;
  const std::uint64_t pages = range->size() / kPage;
  const auto done = task.resumed ? static_cast<std::uint64_t>(task.progress) : 0;
  const std::uint64_t count = std::min(pages - std::min(done, pages), kAtOnce);
  std::array<std::uint8_t, kAtOnce> resident;
  std::uint64_t filled = 0;
  while (filled < count) {
    const std::uint64_t at = range->start + (done + filled) * kPage;
    const Segment* segment = space.segments().find(at);
    if (segment == nullptr) {
      return -ENOMEM;
    }
    const std::uint64_t stop = std::min(count, filled + (segment->end - at) / kPage);
    if (segment->backing == Backing::kNone) {
      std::fill(resident.begin() + filled, resident.begin() + stop, std::uint8_t{0});
      filled = stop;
    }
    for (; filled < stop; ++filled) {
      resident[filled] = is_resident(*segment, range->start + (done + filled) * kPage) ? 1 : 0;
    }
  }
  const auto bytes = std::as_bytes(std::span(resident).first(count));
  if (!space.write(task.arguments[2] + done, bytes)) {
    return -EFAULT;
  }
  if (done + count == pages) {
    return 0;
  }
  task.progress = static_cast<std::int64_t>(done + count);
  task.deadline = guest::monotonic_ns();
  return task.wait_for_deadline();
}

// The pages that hold any byte of a range, as mlock(2) has it.
std::optional<Range> pages_around(std::uint64_t start, std::uint64_t size) {
  return range_of(start & ~kPageMask, size + (start & kPageMask));
}

// Bytes of segments within a range that `counts` is true of.
template <typename Counts>
std::uint64_t count_bytes(const AddressSpace& space, const Range& range, Counts counts) {
  std::uint64_t bytes = 0;
  for (const Segment& each : space.segments()) {
    const std::uint64_t start = std::max(each.start, range.start);
    const std::uint64_t end = std::min(each.end, range.end);
    bytes += start < end && counts(each) ? end - start : 0;
  }
  return bytes;
}

std::uint64_t lock_limit(const Task& task) {
  return task.process->credentials.has(kLockMemory)
             ? ~std::uint64_t{0}
             : task.process->limits[shim::kLockedMemoryLimit].current;
}

// Whether a range may be locked beside what is locked already.
bool may_lock(const Task& task, const Range& range) {
  const AddressSpace& space = task.process->space();
  const std::uint64_t limit = lock_limit(task);
  const auto is_locked = [](const Segment& each) { return each.locked; };
  const std::uint64_t others =
      count_bytes(space, {0, abi::kUserEnd}, is_locked) - count_bytes(space, range, is_locked);
  return range.size() <= limit && others <= limit - range.size();
}

// All memory stays where it is, there is no swap; but it has to be there.
std::int64_t lock(Task& task) {
  AddressSpace& space = task.process->space();
  const auto range = pages_around(task.arguments[0], task.arguments[1]);
  if (lock_limit(task) == 0) {
    return -EPERM;
  }
  if (!range) {
    return -EINVAL;
  }
  if (!may_lock(task, *range) || !is_covered(space, *range)) {
    return -ENOMEM;
  }
  const auto locked = space.set_locked(range->start, range->size(), true);
  return locked && space.populate(range->start, range->size(), Access::kRead) ? 0 : -ENOMEM;
}
std::int64_t call_mlock2(Task& task) {
  return (task.arguments[2] & ~std::uint64_t{MLOCK_ONFAULT}) != 0 ? -EINVAL : lock(task);
}
std::int64_t call_munlock(Task& task) {
  AddressSpace& space = task.process->space();
  const auto range = pages_around(task.arguments[0], task.arguments[1]);
  if (!range) {
    return -EINVAL;
  }
  if (!is_covered(space, *range)) {
    return -ENOMEM;
  }
  return space.set_locked(range->start, range->size(), false) ? 0 : -ENOMEM;
}
std::int64_t call_mlockall(Task& task) {
  constexpr std::uint64_t kKnown = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
  const auto flags = static_cast<std::uint32_t>(task.arguments[0]);
  if (flags == 0 || (flags & ~kKnown) != 0 || flags == MCL_ONFAULT) {
    return -EINVAL;
  }
  const std::uint64_t limit = lock_limit(task);
  if (limit == 0) {
    return -EPERM;
  }
  if ((flags & MCL_CURRENT) == 0) {
    return 0;
  }
  AddressSpace& space = task.process->space();
  const Range all = {0, abi::kUserEnd};
  return count_bytes(space, all, [](const Segment&) { return true; }) <= limit &&
                 space.set_locked(all.start, all.size(), true)
             ? 0
             : -ENOMEM;
}
std::int64_t call_munlockall(Task& task) {
  return task.process->space().set_locked(0, abi::kUserEnd, false) ? 0 : -ENOMEM;
}

// Mappings and files are the same pages: only the disk's are to be written back.
std::int64_t call_msync(Task& task) {
  const std::uint64_t flags = task.arguments[2];
  constexpr std::uint64_t kBoth = MS_ASYNC | MS_SYNC;
  if ((flags & ~std::uint64_t{MS_ASYNC | MS_SYNC | MS_INVALIDATE}) != 0 ||
      (task.arguments[0] & kPageMask) != 0 || (flags & kBoth) == kBoth) {
    return -EINVAL;
  }
  const auto range = range_of(task.arguments[0], task.arguments[1]);
  AddressSpace& space = task.process->space();
  if (!range || !is_covered(space, *range)) {
    return -ENOMEM;
  }
  const SegmentMap& segments = space.segments();
  bool is_of_disk = false;
  for (const Segment* segment = segments.begin() + segments.index_after(range->start);
       segment < segments.end() && segment->start < range->end; ++segment) {
    if ((flags & MS_INVALIDATE) != 0 && segment->locked) {
      return -EBUSY;
    }
    is_of_disk = is_of_disk || (segment->file != nullptr && is_on_disk(*segment->file));
  }
  return (flags & MS_SYNC) != 0 && is_of_disk ? disk_file_system().sync(task) : 0;
}

constexpr CallEntry kCalls[] = {
    {__NR_madvise, call_madvise},
    {__NR_mincore, call_mincore},
    {__NR_mlock, lock},
    {__NR_mlock2, call_mlock2},
    {__NR_munlock, call_munlock},
    {__NR_mlockall, call_mlockall},
    {__NR_munlockall, call_munlockall},
    {__NR_msync, call_msync},
};

}  // namespace

std::span<const CallEntry> advice_calls() {
  return kCalls;
}

}  // namespace linux_server
