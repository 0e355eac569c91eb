#include "guest-kernel/linux/server/shim_image.h"

#include <cstring>

#include "guest-kernel/linux/server/memory_pool.h"

extern "C" const std::byte shim_image_start[];
extern "C" const std::byte shim_image_end[];
extern "C" const std::byte vdso_image_start[];
extern "C" const std::byte vdso_image_end[];

namespace linux_server {
namespace {

constexpr std::uint64_t kNotCopied = MemoryPool::kNone;

constinit std::uint64_t code_offset = kNotCopied;

void copy_image(std::uint64_t offset, const std::byte* start, const std::byte* end) {
  std::memcpy(memory_pool().at(offset), start, static_cast<std::size_t>(end - start));
}

}  // namespace

const shim::CodeHeader& shim_code() {
  return *reinterpret_cast<const shim::CodeHeader*>(shim_image_start);
}

Result<void> map_shim(AddressSpace& space) {
  constexpr std::uint64_t kSize = shim::kCodeSize + abi::kPageSize;
  if (code_offset == kNotCopied) {
    code_offset = memory_pool().allocate(kSize);
    if (code_offset == kNotCopied) {
      return fail(ENOMEM);
    }
    copy_image(code_offset, shim_image_start, shim_image_end);
    copy_image(code_offset + shim::kCodeSize, vdso_image_start, vdso_image_end);
  }
  Segment code;
  code.start = shim::kCode;
  code.end = shim::kCode + kSize;
  code.offset = code_offset;
  code.protection = 1 | 4;  // PROT_READ | PROT_EXEC
  code.backing = Backing::kShared;
  code.use = SegmentUse::kShim;
  return space.add(code);
}

}  // namespace linux_server
