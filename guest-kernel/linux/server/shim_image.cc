#include "guest-kernel/linux/server/shim_image.h"

#include <cstring>

#include "guest-kernel/linux/server/memory_pool.h"

extern "C" const std::byte shim_image_start[];
extern "C" const std::byte shim_image_end[];

namespace linux_server {
namespace {

constexpr std::uint64_t kNotCopied = MemoryPool::kNone;

constinit std::uint64_t code_offset = kNotCopied;

std::uint64_t image_size() {
  return static_cast<std::uint64_t>(shim_image_end - shim_image_start);
}

}  // namespace

const shim::CodeHeader& shim_code() {
  return *reinterpret_cast<const shim::CodeHeader*>(shim_image_start);
}

Result<void> map_shim(AddressSpace& space) {
  const std::uint64_t size = (image_size() + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
  if (code_offset == kNotCopied) {
    code_offset = memory_pool().allocate(size);
    if (code_offset == kNotCopied) {
      return fail(ENOMEM);
    }
    std::memcpy(memory_pool().at(code_offset), shim_image_start, image_size());
  }
  Segment code;
  code.start = shim::kCode;
  code.end = shim::kCode + size;
  code.offset = code_offset;
  code.protection = 1 | 4;  // PROT_READ | PROT_EXEC
  code.backing = Backing::kShared;
  code.use = SegmentUse::kShim;
  return space.add(code);
}

}  // namespace linux_server
