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
  const std::uint64_t pages = (node.size() + abi::kPageSize - 1) / abi::kPageSize;
  for (std::uint64_t address = segment.start; address < segment.end; address += abi::kPageSize) {
    const std::uint64_t index = (segment.file_offset + (address - segment.start)) / abi::kPageSize;
    Segment page = segment;
    page.start = address;
    page.end = address + abi::kPageSize;
    page.file_offset = index * abi::kPageSize;
    const std::uint64_t frame =
        index < pages ? node.page(index, segment.shared) : MemoryPool::kNone;
    if (frame == MemoryPool::kNone && segment.shared && index < pages) {
      return fail(ENOMEM);
    }
    if (frame != MemoryPool::kNone) {
      if (!memory_pool().share(frame, abi::kPageSize)) {
        return fail(ENOMEM);
      }
      page.backing = Backing::kMemory;
      page.offset = frame;
      page.copy_on_write = !segment.shared;
    }
    if (const auto inserted = insert(page); !inserted) {
      if (frame != MemoryPool::kNone) {
        memory_pool().free(frame, abi::kPageSize);
      }
      return inserted;
    }
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
