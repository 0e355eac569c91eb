#pragma once

#include <cstdint>

#include "guest-kernel/nucleus/domain.h"

namespace nucleus {

// Physical address of the page table with the kernel's half only.
std::uint64_t kernel_page_table();

// Gives the kernel image its final protection: code read-only, data never executable.
void protect_kernel_image();

// Makes [address, address + size) accessible through the direct map. False: it is not below 3 GiB.
bool map_physical(std::uint64_t address, std::uint64_t size);
// What the direct map covers from the start.
inline constexpr std::uint64_t kDirectMapSize = 1 << 30;

// Where the kernel's own page table, which no program runs on, gives ring 3 the pool in
// [begin, end), physical addresses, once open_pool_window() was called: for code that ring 0 has
// run there.
inline constexpr std::uint64_t kPoolWindow = std::uint64_t{1} << 39;
void open_pool_window(std::uint64_t begin, std::uint64_t end);

// Identity-maps a page below 1 MiB, executable, in the kernel's own page table, while a processor
// starts there.
void map_trampoline(std::uint64_t page, bool mapped);

// The pages behind abi::kEntryPage and abi::kTimePage: physical addresses.
std::uint64_t entry_page_address();
std::uint64_t time_page_address();

// A top level with the kernel's half and the shared pages; charged to the domain. False: quota.
bool create_page_table(Domain& domain);
// Gives all table pages back. No processor uses it any more.
void destroy_page_table(Domain& domain);

// Protection of a mapping: abi::kRight* bits, and whether it is device memory (uncached).
struct Protection {
  std::uint64_t rights;
  std::uint64_t maximum;  // what protect_range() may ever give
  bool device;
};

// Maps [physical, physical + size) at `address`, replacing what is there. All are page-aligned and
// in range. `changed`: a translation that was in force is not any more, so processors must forget
// it. kNoMemory: the quota did not cover the tables; what was mapped until then stays.
abi::Status map_range(Domain& domain, std::uint64_t address, std::uint64_t physical,
                      std::uint64_t size, Protection protection, bool& changed);
abi::Status unmap_range(Domain& domain, std::uint64_t address, std::uint64_t size, bool& changed);
// kNoRight: part of it was mapped from a region without that right; the rest has been changed.
abi::Status protect_range(Domain& domain, std::uint64_t address, std::uint64_t size,
                          std::uint64_t rights, bool& changed);

}  // namespace nucleus
