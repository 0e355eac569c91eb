#pragma once

#include <cstddef>
#include <span>

namespace ext4 {

// malloc()'s memory: blocks of one range, the first free one that is large enough. Not thread-safe.
class Heap {
 public:
  Heap() = default;
  // `memory` starts on a boundary of 16 bytes.
  explicit Heap(std::span<std::byte> memory);

  // 16-byte aligned; null if there is no room.
  void* allocate(std::size_t size);
  // What allocate() returned; null is ignored.
  void release(void* memory);
  // Bytes that an allocated block can hold.
  static std::size_t size_of(const void* memory);

 private:
  struct Block {
    std::size_t size;  // with this header
    Block* next;       // of the free ones, in the order of addresses
  };
  Block* first_ = nullptr;
};

}  // namespace ext4
