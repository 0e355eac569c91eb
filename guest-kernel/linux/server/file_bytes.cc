#include "guest-kernel/linux/server/file_bytes.h"

#include <algorithm>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/memory_pool.h"

namespace linux_server {

FileBytes::Copy::~Copy() {
  if (size != 0) {
    memory_pool().free(offset, size);
  }
}

Result<FileBytes> FileBytes::of(Node& node) {
  if (node.type() != kRegularFile) {
    return fail(EACCES);
  }
  FileBytes result;
  result.bytes_ = node.contents();
  result.size_ = result.bytes_.empty() ? node.size() : result.bytes_.size();
  const std::uint64_t size = std::min(result.size_, kMaximumCopy);
  if (!result.bytes_.empty() || !node.has_pages() || size == 0) {
    return result;
  }
  result.copy_ = Reference<Copy>(new Copy());
  const std::uint64_t pages = (size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
  const std::uint64_t offset = memory_pool().allocate_for_program(pages);
  if (!result.copy_ || offset == MemoryPool::kNone) {
    if (offset != MemoryPool::kNone) {
      memory_pool().free(offset, pages);
    }
    return fail(ENOMEM);
  }
  result.copy_->offset = offset;
  result.copy_->size = pages;
  const std::span<std::byte> to(memory_pool().at(offset), size);
  const std::int64_t count = node.read_bytes(0, to);
  if (count < 0) {
    return fail(static_cast<int>(-count));
  }
  result.bytes_ = to.first(static_cast<std::size_t>(count));
  return result;
}

}  // namespace linux_server
