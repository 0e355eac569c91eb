#include <asm/unistd.h>
#include <linux/mman.h>

#include <algorithm>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/promised_memory.h"

// Calls on the address space.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kPageMask = kPage - 1;
// Anonymous memory up to this size is mapped at once: its pages are likely to be used.
constexpr std::uint64_t kMapAhead = 32 * 1024;

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

struct MapRequest {
  std::uint64_t address;
  std::uint64_t size;  // in whole pages
  std::uint64_t protection;
  std::uint64_t flags;
  std::uint64_t offset;
  Reference<File> file;  // null: anonymous
  bool shared = false;
};

// What the file says to being mapped so; `allowed`: what mprotect(2) may make of it later.
std::int64_t check_file(const MapRequest& request, std::uint8_t& allowed) {
  constexpr std::uint64_t kKnown = MAP_SHARED_VALIDATE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN |
                                   MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE |
                                   MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |
                                   MAP_FIXED_NOREPLACE;
  const File& file = *request.file;
  const bool writes = (request.protection & PROT_WRITE) != 0;
  const std::uint64_t type = request.flags & MAP_TYPE;
  if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE) {
    return -EINVAL;
  }
  if (type == MAP_SHARED_VALIDATE && (request.flags & ~kKnown) != 0) {
    return -EOPNOTSUPP;
  }
  if (request.shared && writes && !file.may_write()) {
    return -EACCES;
  }
  if (!file.may_read()) {
    return -EACCES;
  }
  if (file.maps_zeroes()) {
    return 0;
  }
  const Node& node = file.node();
  if (node.type() != kRegularFile ||
      (!node.has_pages() && node.contents().empty() && file.size() != 0)) {
    return -ENODEV;
  }
  if ((request.flags & MAP_GROWSDOWN) != 0) {
    return -EINVAL;
  }
  if (request.shared && (!file.may_write() || !node.may_map_writable())) {
    if (writes) {
      return -EPERM;
    }
    allowed &= static_cast<std::uint8_t>(~PROT_WRITE);
  }
  return 0;
}

// What a mapping takes the place of, in bytes.
struct InUse {
  std::uint64_t mapped = 0;
  // What may be written and is the program's own: only this has been promised before.
  std::uint64_t promised = 0;
};

InUse in_use(const AddressSpace& space, std::uint64_t start, std::uint64_t size) {
  const SegmentMap& segments = space.segments();
  InUse total;
  for (const Segment* segment = segments.begin() + segments.index_after(start);
       segment < segments.end() && segment->start < start + size; ++segment) {
    const std::uint64_t part =
        std::min(segment->end, start + size) - std::max(segment->start, start);
    total.mapped += part;
    total.promised += !segment->shared && (segment->protection & PROT_WRITE) != 0 ? part : 0;
  }
  return total;
}

// Finds or clears the place. Negative errno.
std::int64_t choose_place(AddressSpace& space, const MapRequest& request, std::uint64_t& start) {
  if ((request.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) == 0) {
    start = space.find_range(request.size, round_up(request.address));
    return start == 0 ? -ENOMEM : 0;
  }
  start = request.address;
  if (start >= abi::kUserEnd || request.size > abi::kUserEnd - start) {
    return -ENOMEM;
  }
  if ((start & kPageMask) != 0) {
    return -EINVAL;
  }
  if (start < abi::kUserStart) {
    return -EPERM;
  }
  if (space.segments().is_free(start, start + request.size)) {
    return 0;
  }
  return (request.flags & MAP_FIXED_NOREPLACE) != 0 ? -EEXIST
                                                    : as_result(space.remove(start, request.size));
}

// Shared memory without a file of the program's gets one of its own.
Result<void> add_shared_memory(AddressSpace& space, Segment& segment) {
  NewNode what;
  what.mode = kRegularFile | 0777;
  const auto file = make_memory_file("/dev/zero", what);
  if (!file) {
    return std::unexpected(file.error());
  }
  if (const auto sized = (*file)->truncate(segment.size()); !sized) {
    return sized;
  }
  segment.file = file->get();
  segment.file_offset = 0;
  return space.add_file(segment);
}

std::int64_t map(Task& task, const MapRequest& request) {
  AddressSpace& space = task.process->space();
  Segment segment;
  segment.protection =
      static_cast<std::uint8_t>(request.protection & (PROT_READ | PROT_WRITE | PROT_EXEC));
  segment.shared = request.shared;
  segment.locked = (request.flags & MAP_LOCKED) != 0;
  if (request.file) {
    if (const std::int64_t error = check_file(request, segment.allowed); error != 0) {
      return error;
    }
  }
  const bool writes = (request.protection & PROT_WRITE) != 0;
  const bool anonymous = !request.file || request.file->maps_zeroes();
  // Before anything is unmapped for it.
  const InUse replaced =
      (request.flags & MAP_FIXED) != 0 ? in_use(space, request.address, request.size) : InUse{};
  const bool too_large = (request.flags & MAP_NORESERVE) == 0 && writes &&
                         (anonymous || !request.shared) &&
                         !may_promise(request.size - replaced.promised);
  // What is replaced counts as mapped whatever it was, for RLIMIT_DATA too: so does Linux.
  if (too_large || !space.may_grow(request.size - replaced.mapped, writes && !request.shared)) {
    return -ENOMEM;
  }
  if (const std::int64_t error = choose_place(space, request, segment.start); error != 0) {
    return error;
  }
  segment.end = segment.start + request.size;
  Result<void> added;
  const bool ahead = request.size <= kMapAhead && segment.protection != 0;
  if (!anonymous) {
    segment.use = SegmentUse::kFile;
    segment.file = &request.file->node();
    segment.file_offset = request.offset;
    added = space.add_file(segment);
  } else if (request.shared) {
    added = add_shared_memory(space, segment);
  } else {
    added = ahead ? space.add_memory(segment) : space.add(segment);
  }
  if (!added) {
    // Whatever part was made goes; the range was free before.
    static_cast<void>(space.remove(segment.start, request.size));
    return -added.error().number;
  }
  const bool populates =
      segment.protection != 0 && (request.flags & (MAP_POPULATE | MAP_LOCKED)) != 0;
  if (populates || (segment.file != nullptr && ahead)) {
    // Where that fails, the program finds out when it touches the rest.
    static_cast<void>(
        space.populate(segment.start, request.size,
                       populates && writes && !request.shared ? Access::kWrite : Access::kRead));
  }
  return static_cast<std::int64_t>(segment.start);
}

std::int64_t call_mmap(Task& task) {
  const auto [address, length, protection, flags, descriptor, offset] = task.arguments;
  if ((offset & kPageMask) != 0) {
    return -EINVAL;
  }
  MapRequest request = {address, 0, protection, flags, offset, {}};
  if ((flags & MAP_ANONYMOUS) == 0) {
    request.file = task.process->descriptors().find(static_cast<std::uint32_t>(descriptor));
    if (!request.file || request.file->is_path_only()) {
      return -EBADF;
    }
  } else if ((flags & MAP_TYPE) != MAP_PRIVATE && (flags & MAP_TYPE) != MAP_SHARED) {
    return -EINVAL;
  } else {
    request.offset = 0;
  }
  request.shared = (flags & MAP_TYPE) != MAP_PRIVATE;
  if (!is_valid_size(length)) {
    return length == 0 ? -EINVAL : -ENOMEM;
  }
  request.size = round_up(length);
  if (request.file && offset + request.size < offset) {
    return -EOVERFLOW;
  }
  return map(task, request);
}

std::int64_t call_munmap(Task& task) {
  std::uint64_t address = task.arguments[0];
  if ((address & kPageMask) != 0 || !is_valid_size(task.arguments[1]) || address >= abi::kUserEnd ||
      task.arguments[1] > abi::kUserEnd - address) {
    return -EINVAL;
  }
  const std::uint64_t end = address + round_up(task.arguments[1]);
  // Nothing can be mapped below.
  address = std::max(address, abi::kUserStart);
  return end <= address ? 0 : as_result(task.process->space().remove(address, end - address));
}

std::int64_t call_mprotect(Task& task) {
  const std::uint64_t address = task.arguments[0];
  constexpr std::uint64_t kGrows = PROT_GROWSDOWN | PROT_GROWSUP;
  const std::uint64_t protection = task.arguments[2] & ~kGrows;
  if ((task.arguments[2] & kGrows) == kGrows || (address & kPageMask) != 0) {
    return -EINVAL;
  }
  if (task.arguments[1] == 0) {
    return 0;
  }
  if (!is_valid_size(task.arguments[1])) {
    return -ENOMEM;
  }
  if ((protection & ~std::uint64_t{PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM}) != 0) {
    return -EINVAL;
  }
  return as_result(task.process->space().protect(
      address, round_up(task.arguments[1]),
      static_cast<std::uint8_t>(protection & (PROT_READ | PROT_WRITE | PROT_EXEC))));
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

constexpr CallEntry kCalls[] = {
    {__NR_mmap, call_mmap},
    {__NR_munmap, call_munmap},
    {__NR_mprotect, call_mprotect},
    {__NR_brk, call_brk},
};

}  // namespace

std::span<const CallEntry> memory_calls() {
  return kCalls;
}

}  // namespace linux_server
