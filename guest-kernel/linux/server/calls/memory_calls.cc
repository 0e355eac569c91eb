#include <asm/unistd.h>
#include <linux/mman.h>

#include <algorithm>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/memory_pool.h"

// Calls on the address space.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kPageMask = kPage - 1;
// Anonymous memory up to this size is mapped at once: its pages are likely to be used.
constexpr std::uint64_t kMapAhead = 64 * 1024;

std::uint64_t round_up(std::uint64_t value) {
  return (value + kPageMask) & ~kPageMask;
}

// A size that page rounding does not wrap and that user space can hold.
bool is_valid_size(std::uint64_t size) {
  return size != 0 && size <= abi::kUserEnd;
}

std::int64_t as_result(const Result<void>& result) {
  return result ? 0 : -result.error().number;
}

std::int64_t map_contents(AddressSpace& space, const Segment& segment, const File& file,
                          std::uint64_t offset) {
  if (file.node().has_pages()) {
    return as_result(space.add_pages(segment, file.node()));
  }
  const std::span<const std::byte> contents = file.node().contents();
  const auto tail =
      offset < contents.size()
          ? contents.subspan(offset, std::min(contents.size() - offset, segment.size()))
          : std::span<const std::byte>{};
  return as_result(space.add_contents(segment, tail));
}

std::int64_t call_mmap(Task& task) {
  const auto [address, length, protection, flags, descriptor, offset] = task.arguments;
  constexpr std::uint64_t kProtections = PROT_READ | PROT_WRITE | PROT_EXEC;
  AddressSpace& space = task.process->space();
  const std::uint64_t type = flags & MAP_TYPE;
  if (!is_valid_size(length)) {
    return length == 0 ? -EINVAL : -ENOMEM;
  }
  if ((type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE) ||
      (offset & kPageMask) != 0) {
    return -EINVAL;
  }
  const bool anonymous = (flags & MAP_ANONYMOUS) != 0;
  const bool fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
  const std::uint64_t size = round_up(length);
  Reference<File> file;
  if (!anonymous) {
    file = task.process->descriptors().find(static_cast<std::uint32_t>(descriptor));
    if (!file) {
      return -EBADF;
    }
    if (!file->may_read()) {
      return -EACCES;
    }
    if (!file->maps_zeroes() && file->node().type() != kRegularFile) {
      return -ENODEV;
    }
    if (!file->maps_zeroes() && !file->node().has_pages() && file->node().contents().empty() &&
        file->size() != 0) {
      return -ENODEV;
    }
    if (type != MAP_PRIVATE && (protection & PROT_WRITE) != 0 && !file->may_write()) {
      return -EACCES;
    }
    if (offset + size < offset) {
      return -EOVERFLOW;
    }
  }
  Segment segment;
  segment.protection = static_cast<std::uint8_t>(protection & kProtections);
  segment.shared = type != MAP_PRIVATE;
  // What can never be backed is refused, as Linux's overcommit heuristic does.
  if ((flags & MAP_NORESERVE) == 0 && (protection & PROT_WRITE) != 0 &&
      size > memory_pool().total()) {
    return -ENOMEM;
  }
  if (fixed) {
    if ((address & kPageMask) != 0) {
      return -EINVAL;
    }
    if (address < abi::kUserStart) {
      return -EPERM;
    }
    if (address >= abi::kUserEnd || size > abi::kUserEnd - address) {
      return -ENOMEM;
    }
    if (!space.segments().is_free(address, address + size)) {
      if ((flags & MAP_FIXED_NOREPLACE) != 0) {
        return -EEXIST;
      }
      if (const auto removed = space.remove(address, size); !removed) {
        return -removed.error().number;
      }
    }
    segment.start = address;
  } else {
    segment.start = space.find_range(size, address & ~kPageMask);
    if (segment.start == 0) {
      return -ENOMEM;
    }
  }
  segment.end = segment.start + size;
  const auto start = static_cast<std::int64_t>(segment.start);
  std::int64_t error = 0;
  if (!anonymous && !file->maps_zeroes()) {
    segment.use = SegmentUse::kFile;
    // Only files of the root archive are sure to outlive their mappings.
    segment.file = file->node().contents().empty() ? nullptr : &file->node();
    segment.file_offset = offset;
    error = map_contents(space, segment, *file, offset);
  } else {
    // Shared memory has to be there before a child shares it.
    const bool ahead = (size <= kMapAhead && segment.protection != 0) || segment.shared;
    error = as_result(ahead ? space.add_memory(segment) : space.add(segment));
  }
  if (error != 0) {
    // Whatever part was made goes; the range was free before.
    static_cast<void>(space.remove(segment.start, size));
    return error;
  }
  return start;
}

std::int64_t call_munmap(Task& task) {
  const std::uint64_t address = task.arguments[0];
  if ((address & kPageMask) != 0 || !is_valid_size(task.arguments[1])) {
    return -EINVAL;
  }
  return as_result(task.process->space().remove(address, round_up(task.arguments[1])));
}

std::int64_t call_mprotect(Task& task) {
  const std::uint64_t address = task.arguments[0];
  const std::uint64_t protection = task.arguments[2];
  if ((address & kPageMask) != 0 || (protection & ~std::uint64_t{7}) != 0) {
    return -EINVAL;
  }
  if (task.arguments[1] == 0) {
    return 0;
  }
  if (!is_valid_size(task.arguments[1])) {
    return -ENOMEM;
  }
  return as_result(task.process->space().protect(address, round_up(task.arguments[1]),
                                                 static_cast<std::uint8_t>(protection)));
}

std::int64_t call_mremap(Task& task) {
  const auto [address, old_length, new_length, flags, new_address, unused] = task.arguments;
  static_cast<void>(unused);
  constexpr std::uint64_t kKnown = MREMAP_MAYMOVE | MREMAP_FIXED;
  AddressSpace& space = task.process->space();
  if ((flags & ~kKnown) != 0 || (address & kPageMask) != 0 || !is_valid_size(old_length) ||
      !is_valid_size(new_length) ||
      ((flags & MREMAP_FIXED) != 0 && (flags & MREMAP_MAYMOVE) == 0)) {
    return -EINVAL;
  }
  const std::uint64_t old_size = round_up(old_length);
  const std::uint64_t new_size = round_up(new_length);
  if (address >= abi::kUserEnd || old_size > abi::kUserEnd - address) {
    return -EFAULT;
  }
  const Segment* first = space.segments().find(address);
  if (first == nullptr || !space.segments().covers(address, address + old_size)) {
    return -EFAULT;
  }
  Segment model = *space.segments().find(address + old_size - 1);
  if (model.use == SegmentUse::kShim || first->use == SegmentUse::kShim) {
    return -EINVAL;
  }
  if (new_size > old_size && new_size > memory_pool().total() &&
      (model.protection & PROT_WRITE) != 0) {
    return -ENOMEM;
  }
  if ((flags & MREMAP_FIXED) == 0) {
    if (new_size <= old_size) {
      return new_size == old_size || space.remove(address + new_size, old_size - new_size)
                 ? static_cast<std::int64_t>(address)
                 : -ENOMEM;
    }
    model.start = address + old_size;
    model.end = address + new_size;
    model.backing = Backing::kNone;
    model.mapped = Mapped::kNothing;
    model.copy_on_write = false;
    model.offset = 0;
    if (model.file != nullptr) {
      return -EINVAL;  // growing a file's mapping would have to map what follows in the file
    }
    if (model.end <= abi::kUserEnd && space.segments().is_free(model.start, model.end) &&
        space.add(model)) {
      return static_cast<std::int64_t>(address);
    }
    if ((flags & MREMAP_MAYMOVE) == 0) {
      return -ENOMEM;
    }
  }
  std::uint64_t target = 0;
  if ((flags & MREMAP_FIXED) != 0) {
    target = new_address;
    if ((target & kPageMask) != 0 || target < abi::kUserStart || target >= abi::kUserEnd ||
        new_size > abi::kUserEnd - target ||
        (target < address + old_size && address < target + new_size)) {
      return -EINVAL;
    }
    if (!space.segments().is_free(target, target + new_size)) {
      if (const auto removed = space.remove(target, new_size); !removed) {
        return -removed.error().number;
      }
    }
  } else {
    target = space.find_range(new_size, 0);
    if (target == 0) {
      return -ENOMEM;
    }
  }
  const std::uint64_t moved = std::min(old_size, new_size);
  if (const auto result = space.move(address, moved, target); !result) {
    return -result.error().number;
  }
  if (new_size < old_size) {
    return space.remove(address + moved, old_size - moved) ? static_cast<std::int64_t>(target)
                                                           : -ENOMEM;
  }
  if (new_size > old_size) {
    model.start = target + old_size;
    model.end = target + new_size;
    model.backing = Backing::kNone;
    model.mapped = Mapped::kNothing;
    model.copy_on_write = false;
    model.offset = 0;
    if (const auto result = space.add(model); !result) {
      return -result.error().number;
    }
  }
  return static_cast<std::int64_t>(target);
}

std::int64_t call_madvise(Task& task) {
  const std::uint64_t address = task.arguments[0];
  if ((address & kPageMask) != 0 || task.arguments[1] > abi::kUserEnd) {
    return -EINVAL;
  }
  if (task.arguments[1] == 0) {
    return 0;
  }
  AddressSpace& space = task.process->space();
  const std::uint64_t size = round_up(task.arguments[1]);
  if (address >= abi::kUserEnd || size > abi::kUserEnd - address ||
      !space.segments().covers(address, address + size)) {
    return -ENOMEM;
  }
  switch (static_cast<std::uint32_t>(task.arguments[2])) {
    case MADV_DONTNEED:
      return as_result(space.discard(address, size));
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_FREE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
      return 0;
    default:
      return -EINVAL;
  }
}

// The shim moves the break by itself where it can; its second argument is where it has got to.
std::int64_t call_brk(Task& task) {
  AddressSpace& space = task.process->space();
  space.adopt_heap_end(task.arguments[1]);
  const std::uint64_t end =
      task.arguments[0] == 0 ? space.heap_end() : space.move_heap_end(task.arguments[0]);
  task.process->publish_heap();
  return static_cast<std::int64_t>(end);
}

// All memory stays where it is: there is no swap.
std::int64_t call_lock(Task& task) {
  const std::uint64_t start = task.arguments[0] & ~kPageMask;
  if (task.arguments[1] > abi::kUserEnd || start > abi::kUserEnd) {
    return -EINVAL;
  }
  const std::uint64_t end = round_up(task.arguments[0] + task.arguments[1]);
  return task.process->space().segments().covers(start, end) ? 0 : -ENOMEM;
}
std::int64_t call_lock_all(Task& /*task*/) {
  return 0;
}
std::int64_t call_msync(Task& task) {
  if ((task.arguments[0] & kPageMask) != 0 || (task.arguments[2] & ~std::uint64_t{7}) != 0) {
    return -EINVAL;
  }
  return call_lock(task);
}

constexpr CallEntry kCalls[] = {
    {__NR_mmap, call_mmap},           {__NR_munmap, call_munmap},   {__NR_mprotect, call_mprotect},
    {__NR_mremap, call_mremap},       {__NR_madvise, call_madvise}, {__NR_brk, call_brk},
    {__NR_mlock, call_lock},          {__NR_munlock, call_lock},    {__NR_mlockall, call_lock_all},
    {__NR_munlockall, call_lock_all}, {__NR_msync, call_msync},
};

}  // namespace

std::span<const CallEntry> memory_calls() {
  return kCalls;
}

}  // namespace linux_server
