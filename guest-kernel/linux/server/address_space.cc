#include "guest-kernel/linux/server/address_space.h"

#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/shim/layout.h"

// Which addresses are in use: adding, removing, moving and protecting ranges.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kLargePage = abi::kLargePageSize;
constexpr std::uint8_t kProtectWrite = 2;
// Writable contents of a file up to this size are copied at once: most of them will be written to.
constexpr std::uint64_t kEagerCopy = 64 * 1024;

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

}  // namespace

AddressSpace::AddressSpace(guest::Slot domain, guest::Slot root, std::span<const std::byte> archive)
    : domain_(domain), root_(root), archive_(archive) {}

void AddressSpace::clear() {
  for (const Segment& segment : segments_) {
    release(segment);
  }
  segments_.clear();
  drop_unused_files();
  if (program_) {
    --program_->executions;
    program_.reset();
  }
}

void AddressSpace::release(const Segment& segment) {
  if (segment.backing == Backing::kMemory) {
    memory_pool().free(segment.offset, segment.size());
  }
}

Result<void> AddressSpace::insert(const Segment& segment) {
  if (!is_user_range(segment.start, segment.size()) ||
      !segments_.is_free(segment.start, segment.end)) {
    return fail(ENOMEM);
  }
  if (const auto kept = keep_file(segment.file); !kept) {
    return kept;
  }
  if (!segments_.insert(segment)) {
    drop_unused_files();
    return fail(ENOMEM);
  }
  return {};
}

Result<void> AddressSpace::add(const Segment& segment) {
  if (const auto inserted = insert(segment); !inserted) {
    return inserted;
  }
  const auto mapped = map_range(segment.start, segment.end);
  if (!mapped && segments_.split(segment.start, segment.end)) {
    segments_.remove(segment.start, segment.end);
  }
  return mapped;
}

Result<void> AddressSpace::replace(const Segment& segment) {
  return segments_.replace(segment) ? Result<void>{} : fail(ENOMEM);
}

Result<void> AddressSpace::add_memory(Segment segment) {
  segment.backing = Backing::kNone;
  if (const auto inserted = insert(segment); !inserted) {
    return inserted;
  }
  return give_memory(segment.start, segment.end);
}

Result<void> AddressSpace::add_contents(const Segment& segment,
                                        std::span<const std::byte> contents) {
  const std::uint64_t archive_offset = reinterpret_cast<std::uint64_t>(contents.data()) -
                                       reinterpret_cast<std::uint64_t>(archive_.data());
  const bool writable = (segment.protection & kProtectWrite) != 0;
  std::uint64_t in_place = 0;
  if (archive_offset < archive_.size() && archive_offset % kPage == 0 &&
      (!writable || contents.size() > kEagerCopy)) {
    in_place = std::min(round_down(contents.size(), kPage), segment.size());
  }
  if (in_place != 0) {
    Segment first = segment;
    first.end = segment.start + in_place;
    first.backing = Backing::kRoot;
    first.offset = archive_offset;
    first.copy_on_write = true;
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
  return insert(last);
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
  bool has_file = false;
  for (std::size_t index = segments_.index_after(start);
       index < segments_.size() && segments_.at(index).start < end; ++index) {
    if (segments_.at(index).use == SegmentUse::kShim) {
      return fail(EINVAL);
    }
    has_file = has_file || segments_.at(index).file != nullptr;
  }
  if (const auto unmapped = unmap_range(start, end); !unmapped) {
    return unmapped;
  }
  for (std::size_t index = segments_.index_after(start);
       index < segments_.size() && segments_.at(index).start < end; ++index) {
    release(segments_.at(index));
  }
  segments_.remove(start, end);
  if (has_file) {
    drop_unused_files();
  }
  return {};
}

// Takes what is mapped in [start, end) out of the page tables, which the nucleus walks in ring 0:
// it is not sent through large holes.
Result<void> AddressSpace::unmap_range(std::uint64_t start, std::uint64_t end) {
  const auto unmap = [this](std::uint64_t from, std::uint64_t to) {
    return from == to || guest::unmap(domain_, from, to - from) == guest::Status::kOk;
  };
  std::uint64_t from = start;
  std::uint64_t to = start;  // [from, to) is to be unmapped
  for (std::size_t index = segments_.index_after(start);
       index < segments_.size() && segments_.at(index).start < end; ++index) {
    const Segment& segment = segments_.at(index);
    if (segment.mapped == Mapped::kNothing) {
      continue;
    }
    const std::uint64_t first = std::max(start, segment.start);
    if (first - to >= kLargePage) {
      if (!unmap(from, to)) {
        return fail(ENOMEM);
      }
      from = std::max(start, round_down(first, kLargePage));
    }
    to = std::min(end, segment.end);
  }
  // With the hole behind it, its last table may go too.
  const std::uint64_t border = round_up(to, kLargePage);
  to = to != from && border <= end ? border : to;
  return unmap(from, to) ? Result<void>{} : fail(ENOMEM);
}

// As Linux does, it changes what lies before a hole or a refusal.
Result<void> AddressSpace::protect(std::uint64_t start, std::uint64_t size,
                                   std::uint8_t protection) {
  const std::uint64_t end = start + size;
  if (!is_user_range(start, size)) {
    return fail(ENOMEM);
  }
  for (std::uint64_t address = start; address < end;) {
    if (segments_.find(address) == nullptr) {
      return fail(ENOMEM);
    }
    Segment segment = segments_.piece(address, end);
    address = segment.end;
    if (segment.use == SegmentUse::kShim || (protection & ~segment.allowed) != 0) {
      return fail(EACCES);
    }
    if (segment.protection == protection) {
      continue;
    }
    if (const auto changed = protect_piece(segment, protection); !changed) {
      return changed;
    }
  }
  return {};
}

Result<void> AddressSpace::protect_piece(Segment segment, std::uint8_t protection) {
  const Mapped was_mapped = segment.mapped;
  segment.protection = protection;
  segment.mapped = protection == 0 ? Mapped::kNothing : was_mapped;
  if (const auto replaced = replace(segment); !replaced) {
    return replaced;
  }
  if (protection == 0) {
    return was_mapped == Mapped::kNothing ||
                   guest::unmap(domain_, segment.start, segment.size()) == guest::Status::kOk
               ? Result<void>{}
               : fail(ENOMEM);
  }
  return segment.is_backed() ? map_range(segment.start, segment.end) : Result<void>{};
}

Result<void> AddressSpace::move(std::uint64_t from, std::uint64_t size, std::uint64_t to) {
  if (!is_user_range(from, size) || !is_user_range(to, size) ||
      !segments_.covers(from, from + size) || !segments_.is_free(to, to + size) ||
      !segments_.split(from, from + size)) {
    return fail(ENOMEM);
  }
  for (std::size_t index = segments_.index_after(from);
       index < segments_.size() && segments_.at(index).start < from + size; ++index) {
    if (segments_.at(index).use == SegmentUse::kShim) {
      return fail(EFAULT);
    }
  }
  if (const auto unmapped = unmap_range(from, from + size); !unmapped) {
    return unmapped;
  }
  for (std::uint64_t moved = 0; moved < size;) {
    Segment segment = segments_.piece(from + moved, from + size);
    // What has been moved already may have joined the rest: the piece is cut off again.
    if (!segments_.prepare() || !segments_.split(segment.start, segment.end)) {
      return fail(ENOMEM);
    }
    segments_.remove(segment.start, segment.end);
    const std::uint64_t length = segment.size();
    segment.start = to + moved;
    segment.end = segment.start + length;
    segment.mapped = Mapped::kNothing;
    static_cast<void>(segments_.insert(segment));
    if (const auto mapped = map_range(segment.start, segment.end); !mapped) {
      return mapped;
    }
    moved += length;
  }
  return {};
}

}  // namespace linux_server
