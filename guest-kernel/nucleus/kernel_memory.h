#pragma once

#include <cstdint>

namespace nucleus {

struct Domain;

// Physical memory, writable, never executable: the first GiB, the APICs, and what map_physical()
// has added. The kernel touches its own pool in it, and what the loader handed over.
inline constexpr std::uint64_t kDirectMap = 0xffff'8000'0000'0000;

template <typename T = void>
T* physical_pointer(std::uint64_t address) {
  return reinterpret_cast<T*>(kDirectMap + address);
}
inline std::uint64_t physical_address(const void* direct_map_pointer) {
  return reinterpret_cast<std::uint64_t>(direct_map_pointer) - kDirectMap;
}

// The kernel's own memory: page-table pages and objects. It never grows into what user space holds.
// `start` and `end` are physical, page-aligned, and the range reads as zero, so that nothing here
// touches a page before it is needed.
void initialize_kernel_memory(std::uint64_t start, std::uint64_t end);

// Zeroed memory in the direct map: block_size(size) bytes, physically contiguous, aligned
// to its size up to a page. At most 1 MiB. nullptr when the pool is used up.
void* allocate_kernel_memory(std::uint64_t size);
// The next power of two, 64 at least.
std::uint64_t block_size(std::uint64_t size);
// `size` as it was allocated.
void free_kernel_memory(void* memory, std::uint64_t size);

std::uint64_t free_kernel_pages();
std::uint64_t total_kernel_pages();

// Whose quota the domain's memory is charged to.
Domain& account_of(Domain& domain);
// As above, with the block's size charged to (or given back to) the domain's quota, or that of whom
// it shares one with.
void* allocate_charged(Domain& domain, std::uint64_t size);
void free_charged(Domain& domain, void* memory, std::uint64_t size);

}  // namespace nucleus
