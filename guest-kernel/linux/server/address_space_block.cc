#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/shim/layout.h"

// The stack and the shim's pages: one run of pages, mapped by one call.
namespace linux_server {

namespace {

constexpr std::uint8_t kProtectReadWrite = 3;

}  // namespace

Result<void> AddressSpace::add_process_block(std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t start = abi::kSharedStart - size;
  Segment pages;
  pages.start = shim::kStackTop;
  pages.end = abi::kSharedStart;
  pages.offset = offset + (shim::kStackTop - start);
  pages.protection = kProtectReadWrite;
  pages.backing = Backing::kMemory;
  pages.use = SegmentUse::kShim;
  pages.mapped = Mapped::kFully;
  Segment stack = pages;
  stack.start = start;
  stack.end = shim::kStackTop;
  stack.offset = offset;
  stack.use = SegmentUse::kStack;
  if (!segments_.insert(pages)) {
    memory_pool().free(offset, size);
    return fail(ENOMEM);
  }
  if (!segments_.insert(stack)) {
    memory_pool().free(offset, stack.size());
    return fail(ENOMEM);
  }
  const guest::Status status = guest::map(domain_, start, memory_pool().region(), offset, size,
                                          abi::kRightRead | abi::kRightWrite);
  return status == guest::Status::kOk ? Result<void>{} : fail(ENOMEM);
}

Result<void> AddressSpace::add_thread_page(std::uint64_t address) {
  Segment page;
  page.start = address;
  page.end = address + abi::kPageSize;
  page.protection = kProtectReadWrite;
  page.use = SegmentUse::kShim;
  return add_memory(page);
}

Result<void> AddressSpace::add_read_ahead_buffer() {
  Segment buffer;
  buffer.start = shim::kReadAheadBuffer;
  buffer.end = buffer.start + shim::kReadAheadSize;
  buffer.protection = kProtectReadWrite;
  buffer.use = SegmentUse::kShim;
  buffer.fork_rule = ForkRule::kOmit;
  return add_memory(buffer);
}

}  // namespace linux_server
