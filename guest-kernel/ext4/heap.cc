#include "guest-kernel/ext4/heap.h"

#include <new>

namespace ext4 {

Heap::Heap(std::span<std::byte> memory) {
  if (memory.size() >= 2 * sizeof(Block)) {
    first_ = new (memory.data()) Block{memory.size() & ~std::size_t{15}, nullptr};
  }
}

void* Heap::allocate(std::size_t size) {
  if (size > ~std::size_t{0} / 2) {
    return nullptr;
  }
  const std::size_t needed = (((size == 0 ? 1 : size) + 15) & ~std::size_t{15}) + sizeof(Block);
  for (Block** at = &first_; *at != nullptr; at = &(*at)->next) {
    Block* const block = *at;
    if (block->size < needed) {
      continue;
    }
    if (block->size - needed >= 2 * sizeof(Block)) {
      auto* rest = new (reinterpret_cast<std::byte*>(block) + needed)
          Block{block->size - needed, block->next};
      block->size = needed;
      *at = rest;
    } else {
      *at = block->next;
    }
    return block + 1;
  }
  return nullptr;
}

std::size_t Heap::size_of(const void* memory) {
  return static_cast<const Block*>(memory)[-1].size - sizeof(Block);
}

void Heap::release(void* memory) {
  if (memory == nullptr) {
    return;
  }
  Block* const block = static_cast<Block*>(memory) - 1;
  Block* before = nullptr;
  Block* after = first_;
  while (after != nullptr && after < block) {
    before = after;
    after = after->next;
  }
  const auto end = [](Block* each) {
    return reinterpret_cast<Block*>(reinterpret_cast<std::byte*>(each) + each->size);
  };
  block->next = after;
  if (after != nullptr && end(block) == after) {
    block->size += after->size;
    block->next = after->next;
  }
  if (before != nullptr && end(before) == block) {
    before->size += block->size;
    before->next = block->next;
  } else {
    (before != nullptr ? before->next : first_) = block;
  }
}

}  // namespace ext4
