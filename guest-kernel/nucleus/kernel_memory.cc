#include "guest-kernel/nucleus/kernel_memory.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/domain.h"

namespace nucleus {
namespace {

using abi::kPageSize;

struct FreeBlock {
  FreeBlock* next;
};

constexpr unsigned kSmallestShift = 6;  // 64 bytes
constexpr unsigned kPageShift = 12;
constexpr unsigned kLargestShift = 20;
constexpr unsigned kPageClass = kPageShift - kSmallestShift;

// Blocks that were used and freed, by size: they hold old data and are zeroed when they are reused.
FreeBlock* free_blocks[kLargestShift - kSmallestShift + 1];
// The part of the pool that was never used, and so is still zero.
std::uint64_t untouched;
std::uint64_t pool_end;
std::uint64_t pool_start;
std::uint64_t freed_pages;
// The page that small blocks are being cut off: a range of the direct map.
std::uint64_t cut_next;
std::uint64_t cut_end;

unsigned size_class(std::uint64_t size) {
  if (size <= (1u << kSmallestShift)) {
    return 0;
  }
  return 32 - static_cast<unsigned>(__builtin_clz(static_cast<unsigned>(size - 1))) -
         kSmallestShift;
}

std::uint64_t class_size(unsigned index) {
  return std::uint64_t{1} << (index + kSmallestShift);
}

void zero(void* memory, std::uint64_t size) {
  auto count = size / sizeof(std::uint64_t);
  asm volatile("rep stosq" : "+D"(memory), "+c"(count) : "a"(0) : "memory");
}

void* take_untouched(std::uint64_t size) {
  if (pool_end - untouched < size) {
    return nullptr;
  }
  auto* memory = physical_pointer(untouched);
  untouched += size;
  return memory;
}

void push(unsigned index, void* memory) {
  auto* block = static_cast<FreeBlock*>(memory);
  block->next = free_blocks[index];
  free_blocks[index] = block;
}

void* pop(unsigned index) {
  FreeBlock* block = free_blocks[index];
  if (block != nullptr) {
    free_blocks[index] = block->next;
  }
  return block;
}

}  // namespace

void initialize_kernel_memory(std::uint64_t start, std::uint64_t end) {
  pool_start = start;
  untouched = start;
  pool_end = end;
}

std::uint64_t block_size(std::uint64_t size) {
  return class_size(size_class(size));
}

void* allocate_kernel_memory(std::uint64_t size) {
  const unsigned index = size_class(size);
  const std::uint64_t block = class_size(index);
  if (void* used = pop(index)) {
    freed_pages -= block / kPageSize;
    zero(used, block);
    return used;
  }
  if (index >= kPageClass) {
    return take_untouched(block);
  }
  // Blocks smaller than a page are cut off a page from its start, each aligned to its size.
  cut_next = (cut_next + block - 1) & ~(block - 1);
  if (cut_next + block > cut_end) {
    void* page = allocate_kernel_memory(kPageSize);
    if (page == nullptr) {
      return nullptr;
    }
    cut_next = reinterpret_cast<std::uint64_t>(page);
    cut_end = cut_next + kPageSize;
  }
  auto* cut = reinterpret_cast<void*>(cut_next);
  cut_next += block;
  return cut;
}

void free_kernel_memory(void* memory, std::uint64_t size) {
  const unsigned index = size_class(size);
  freed_pages += class_size(index) / kPageSize;
  push(index, memory);
}

std::uint64_t free_kernel_pages() {
  return freed_pages + (pool_end - untouched) / kPageSize;
}

std::uint64_t total_kernel_pages() {
  return (pool_end - pool_start) / kPageSize;
}

Domain& account_of(Domain& domain) {
  Domain* account = &domain;
  while (account->shares_quota) {
    account = account->payer;
  }
  return *account;
}

void* allocate_charged(Domain& domain, std::uint64_t size) {
  Domain& payer = account_of(domain);
  const std::uint64_t block = block_size(size);
  if (payer.quota < block) {
    return nullptr;
  }
  void* memory = allocate_kernel_memory(size);
  if (memory != nullptr) {
    payer.quota -= block;
  }
  return memory;
}

void free_charged(Domain& domain, void* memory, std::uint64_t size) {
  account_of(domain).quota += block_size(size);
  free_kernel_memory(memory, size);
}

}  // namespace nucleus
