#include <asm/unistd.h>
#include <linux/mman.h>

#include <algorithm>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/promised_memory.h"

// mremap(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kPageMask = kPage - 1;
constexpr std::uint8_t kProtectWrite = 2;

struct Remap {
  std::uint64_t address;
  std::uint64_t old_size;
  std::uint64_t new_size;
  std::uint64_t flags;
  std::uint64_t target;
};

// Whether `second` belongs to the mapping that `first` is of.
bool is_same_mapping(const Segment& first, const Segment& second) {
  return first.protection == second.protection && first.allowed == second.allowed &&
         first.use == second.use && first.shared == second.shared && first.file == second.file &&
         (first.file == nullptr ||
          second.file_offset - first.file_offset == second.start - first.start);
}

// EFAULT unless one mapping covers the old range, whose first piece is `model` then.
std::int64_t check_range(const AddressSpace& space, const Remap& remap, Segment& model) {
  const SegmentMap& segments = space.segments();
  if (segments.find(remap.address) == nullptr) {
    return -EFAULT;
  }
  model = segments.piece(remap.address, remap.address + std::max(remap.old_size, kPage));
  if (model.use == SegmentUse::kShim) {
    return -EINVAL;
  }
  if (remap.old_size == 0) {
    return model.shared ? 0 : -EINVAL;
  }
  if (remap.old_size > abi::kUserEnd - remap.address) {
    return -EFAULT;
  }
  for (std::uint64_t at = remap.address; at < remap.address + remap.old_size;) {
    const Segment* segment = segments.find(at);
    if (segment == nullptr ||
        !is_same_mapping(model, segments.piece(at, remap.address + remap.old_size))) {
      return -EFAULT;
    }
    at = segment->end;
  }
  return 0;
}

// A fresh part of the mapping that `model` starts, `distance` behind its start.
Result<void> add_part(AddressSpace& space, Segment model, std::uint64_t distance,
                      std::uint64_t start, std::uint64_t size) {
  model.start = start;
  model.end = start + size;
  model.backing = Backing::kNone;
  model.mapped = Mapped::kNothing;
  model.copy_on_write = false;
  model.offset = 0;
  model.file_offset += model.file == nullptr ? 0 : distance;
  const auto added = model.file == nullptr ? space.add(model) : space.add_file(model);
  if (!added && !space.segments().is_free(start, start + size)) {
    static_cast<void>(space.remove(start, size));  // the part of it that was made
  }
  return added;
}

bool may_grow(const AddressSpace& space, const Segment& model, std::uint64_t size) {
  const bool is_data = (model.protection & kProtectWrite) != 0 && !model.shared;
  return (!is_data || may_promise(size)) && space.may_grow(size, is_data);
}

std::int64_t choose_target(AddressSpace& space, const Remap& remap, std::uint64_t& target) {
  if ((remap.flags & MREMAP_FIXED) == 0) {
    target = space.find_range(remap.new_size, 0);
    return target == 0 ? -ENOMEM : 0;
  }
  target = remap.target;
  if (!space.segments().is_free(target, target + remap.new_size)) {
    if (const auto removed = space.remove(target, remap.new_size); !removed) {
      return -removed.error().number;
    }
  }
  return 0;
}

std::int64_t move(AddressSpace& space, const Remap& remap, const Segment& model) {
  const Reference<Node> kept(model.file);  // clearing the target may unmap it
  std::uint64_t target = 0;
  if (const std::int64_t error = choose_target(space, remap, target); error != 0) {
    return error;
  }
  const std::uint64_t moved = std::min(remap.old_size, remap.new_size);
  if (space.segments().find(remap.address) == nullptr) {
    return -EFAULT;
  }
  if (remap.old_size == 0) {
    const auto added = add_part(space, model, 0, target, remap.new_size);
    return added ? static_cast<std::int64_t>(target) : -added.error().number;
  }
  if (const auto result = space.move(remap.address, moved, target); !result) {
    return -result.error().number;
  }
  Result<void> rest;
  if (remap.new_size < remap.old_size) {
    rest = space.remove(remap.address + moved, remap.old_size - moved);
  } else if (remap.new_size > remap.old_size) {
    rest = add_part(space, model, moved, target + moved, remap.new_size - moved);
  }
  if (rest && (remap.flags & MREMAP_DONTUNMAP) != 0) {
    rest = add_part(space, model, 0, remap.address, remap.old_size);
  }
  return rest ? static_cast<std::int64_t>(target) : -rest.error().number;
}

std::int64_t check_arguments(const Remap& remap) {
  constexpr std::uint64_t kKnown = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  const bool may_move = (remap.flags & MREMAP_MAYMOVE) != 0;
  const bool keeps = (remap.flags & MREMAP_DONTUNMAP) != 0;
  const bool fixed = (remap.flags & MREMAP_FIXED) != 0;
  if ((remap.flags & ~kKnown) != 0 || (fixed && !may_move) ||
      (keeps && (!may_move || remap.old_size != remap.new_size)) ||
      (remap.address & kPageMask) != 0 || remap.new_size == 0 || remap.new_size > abi::kUserEnd) {
    return -EINVAL;
  }
  return 0;
}

// The target of MREMAP_FIXED.
bool is_sound_target(const Remap& remap) {
  return (remap.target & kPageMask) == 0 && remap.target >= abi::kUserStart &&
         remap.target < abi::kUserEnd && remap.new_size <= abi::kUserEnd - remap.target &&
         (remap.target >= remap.address + remap.old_size ||
          remap.address >= remap.target + remap.new_size);
}

std::int64_t call_mremap(Task& task) {
  AddressSpace& space = task.process->space();
  const auto round_up = [](std::uint64_t size) {
    return size > abi::kUserEnd ? ~kPageMask : (size + kPageMask) & ~kPageMask;
  };
  const Remap remap = {task.arguments[0], round_up(task.arguments[1]), round_up(task.arguments[2]),
                       task.arguments[3], task.arguments[4]};
  const bool fixed = (remap.flags & MREMAP_FIXED) != 0;
  if (const std::int64_t error = check_arguments(remap); error != 0) {
    return error;
  }
  if (remap.address >= abi::kUserEnd || space.segments().find(remap.address) == nullptr) {
    return -EFAULT;
  }
  if (fixed && !is_sound_target(remap)) {
    return -EINVAL;
  }
  const bool moves = (remap.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0;
  if (!moves && remap.old_size != 0 && remap.new_size <= remap.old_size) {
    // Giving the end back may concern several mappings.
    const Result<void> removed =
        remap.new_size == remap.old_size
            ? Result<void>{}
            : space.remove(remap.address + remap.new_size, remap.old_size - remap.new_size);
    return removed ? static_cast<std::int64_t>(remap.address) : -removed.error().number;
  }
  Segment model;
  if (const std::int64_t error = check_range(space, remap, model); error != 0) {
    return error;
  }
  if (remap.new_size > remap.old_size && !may_grow(space, model, remap.new_size - remap.old_size)) {
    return -ENOMEM;
  }
  if (!moves && remap.old_size != 0) {
    const std::uint64_t end = remap.address + remap.old_size;
    const std::uint64_t more = remap.new_size - remap.old_size;
    if (more <= abi::kUserEnd - end && space.segments().is_free(end, end + more) &&
        add_part(space, model, remap.old_size, end, more)) {
      return static_cast<std::int64_t>(remap.address);
    }
  }
  return (remap.flags & MREMAP_MAYMOVE) == 0 ? -ENOMEM : move(space, remap, model);
}

constexpr CallEntry kCalls[] = {
    {__NR_mremap, call_mremap},
};

}  // namespace

std::span<const CallEntry> remap_calls() {
  return kCalls;
}

}  // namespace linux_server
