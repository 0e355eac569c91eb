#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace guest {

// Hands out pieces of a mapped range, one after another; they are never returned. Not thread-safe.
class Arena {
 public:
  Arena() = default;
  Arena(std::uint64_t address, std::uint64_t size) : next_(address), end_(address + size) {}

  // nullptr if it does not fit. The bytes are as the range was (zero, in fresh memory).
  void* allocate(std::uint64_t size, std::uint64_t alignment = alignof(std::max_align_t)) {
    const std::uint64_t start = (next_ + alignment - 1) & ~(alignment - 1);
    if (start < next_ || start > end_ || size > end_ - start) {
      return nullptr;
    }
    next_ = start + size;
    return reinterpret_cast<void*>(start);
  }

  // A value-initialised object, or nullptr.
  template <typename T, typename... Arguments>
  T* make(Arguments&&... arguments) {
    void* memory = allocate(sizeof(T), alignof(T));
    return memory == nullptr ? nullptr : new (memory) T(std::forward<Arguments>(arguments)...);
  }

  // `count` value-initialised objects; empty if they do not fit.
  template <typename T>
  std::span<T> make_array(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (count > (end_ - next_) / sizeof(T)) {
      return {};
    }
    void* memory = allocate(count * sizeof(T), alignof(T));
    return memory == nullptr ? std::span<T>{} : std::span<T>(new (memory) T[count](), count);
  }

  std::uint64_t left() const { return end_ - next_; }

 private:
  std::uint64_t next_ = 0;
  std::uint64_t end_ = 0;
};

// Allocates and frees, in power-of-two classes from 32 bytes to 32 KiB, out of an arena. Blocks
// keep their class for ever, which bounds the waste and needs no coalescing. Not thread-safe.
class Heap {
 public:
  static constexpr unsigned kSmallestShift = 5;
  static constexpr unsigned kClasses = 11;

  Heap() = default;
  explicit Heap(Arena arena) : arena_(arena) {}

  // nullptr if the arena is used up or `size` is over 32 KiB. Contents are unspecified.
  void* allocate(std::size_t size) {
    const unsigned index = class_of(size);
    if (index >= kClasses) {
      return nullptr;
    }
    if (Block* block = free_[index]; block != nullptr) {
      free_[index] = block->next;
      return block;
    }
    return arena_.allocate(std::uint64_t{1} << (index + kSmallestShift), 32);
  }

  // `size` as it was allocated. nullptr is ignored.
  void release(void* memory, std::size_t size) {
    const unsigned index = class_of(size);
    if (memory != nullptr && index < kClasses) {
      free_[index] = new (memory) Block{free_[index]};
    }
  }

  template <typename T, typename... Arguments>
  T* make(Arguments&&... arguments) {
    static_assert(alignof(T) <= 32);
    void* memory = allocate(sizeof(T));
    return memory == nullptr ? nullptr : new (memory) T(std::forward<Arguments>(arguments)...);
  }

  template <typename T>
  void destroy(T* object) {
    if (object != nullptr) {
      object->~T();
      release(object, sizeof(T));
    }
  }

 private:
  struct Block {
    Block* next;
  };

  static unsigned class_of(std::size_t size) {
    const auto width = static_cast<unsigned>(std::bit_width(size == 0 ? 0 : size - 1));
    return width <= kSmallestShift ? 0 : width - kSmallestShift;
  }

  Arena arena_;
  Block* free_[kClasses] = {};
};

}  // namespace guest
