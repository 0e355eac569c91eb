#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/memory_pool.h"

namespace linux_server {

// Whether a program may have a mapping of `size` bytes that it will fill: one that is larger than
// what is free could not be backed. A small one it may have always, else those who have little
// would fail where the one with most of the memory is to end.
inline bool may_promise(std::uint64_t size) {
  const MemoryPool& pool = memory_pool();
  return size <= pool.reserve() || pool.spares(size);
}

}  // namespace linux_server
