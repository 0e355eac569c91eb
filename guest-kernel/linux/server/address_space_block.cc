#include <algorithm>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/shim/layout.h"

// The stack and the shim's pages: one large page, mapped by one call.
namespace linux_server {

namespace {

constexpr std::uint8_t kProtectReadWrite = 3;

}  // namespace

Result<void> AddressSpace::add_process_block(std::uint64_t offset) {
  Segment pages;
  pages.start = shim::kStackTop;
  pages.end = abi::kSharedStart;
  pages.offset = offset + (shim::kStackTop - shim::kBlock);
  pages.protection = kProtectReadWrite;
  pages.backing = Backing::kMemory;
  pages.use = SegmentUse::kShim;
  pages.mapped = Mapped::kFully;
  Segment stack = pages;
  stack.start = shim::kBlock;
  stack.end = shim::kStackTop;
  stack.offset = offset;
  stack.use = SegmentUse::kStack;
  Segment rest = stack;
  rest.start = shim::kStackTop - shim::kStackSize;
  rest.end = shim::kBlock;
  rest.backing = Backing::kNone;
  rest.mapped = Mapped::kNothing;
  if (!segments_.insert(pages)) {
    memory_pool().free(offset, abi::kLargePageSize);
    return fail(ENOMEM);
  }
  if (!segments_.insert(stack) || !segments_.insert(rest)) {
    return fail(ENOMEM);
  }
  const guest::Status status = guest::map(domain_, shim::kBlock, memory_pool().region(), offset,
                                          abi::kLargePageSize, abi::kRightRead | abi::kRightWrite);
  return status == guest::Status::kOk ? Result<void>{} : fail(ENOMEM);
}

Result<void> AddressSpace::add_pages(const Segment& segment, Node& node) {
  const std::uint64_t size = node.size();
  for (std::uint64_t address = segment.start; address < segment.end;) {
    const std::uint64_t offset = segment.file_offset + (address - segment.start);
    Segment piece = segment;
    piece.start = address;
    piece.file_offset = offset;
    const bool exists = offset < size;
    const std::uint64_t frame =
        exists ? node.page(offset / abi::kPageSize, segment.shared) : MemoryPool::kNone;
    if (frame == MemoryPool::kNone) {
      if (exists && segment.shared) {
        return fail(ENOMEM);
      }
      // A hole, or what is past the end, is one piece: its size is the program's to choose.
      const std::uint64_t data = exists ? node.seek(SeekTarget::kData, offset) : size;
      piece.end = exists && data < size && data > offset
                      ? std::min(segment.end, address + (data - offset))
                      : segment.end;
    } else {
      if (!memory_pool().share(frame, abi::kPageSize)) {
        return fail(ENOMEM);
      }
      piece.end = address + abi::kPageSize;
      piece.backing = Backing::kMemory;
      piece.offset = frame;
      piece.copy_on_write = !segment.shared;
    }
    if (const auto inserted = insert(piece); !inserted) {
      if (frame != MemoryPool::kNone) {
        memory_pool().free(frame, abi::kPageSize);
      }
      return inserted;
    }
    address = piece.end;
  }
  return {};
}

Result<void> AddressSpace::add_thread_page(std::uint64_t address) {
  Segment page;
  page.start = address;
  page.end = address + abi::kPageSize;
  page.protection = kProtectReadWrite;
  page.use = SegmentUse::kShim;
  return add_memory(page);
}

}  // namespace linux_server
