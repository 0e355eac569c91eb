#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace linux_server {

// A sequence of plain values on the heap. Growing fails (false) where memory runs out.
template <typename T>
requires std::is_trivially_copyable_v<T>
class GrowingArray {
 public:
  GrowingArray() = default;
  GrowingArray(const GrowingArray&) = delete;
  GrowingArray& operator=(const GrowingArray&) = delete;
  ~GrowingArray() { release(items_, capacity_); }

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return items_; }
  T* end() { return items_ + size_; }
  const T* begin() const { return items_; }
  const T* end() const { return items_ + size_; }
  T& operator[](std::size_t index) { return items_[index]; }
  const T& operator[](std::size_t index) const { return items_[index]; }
  void clear() { size_ = 0; }
  // Gives the memory back too.
  void reset() {
    release(std::exchange(items_, nullptr), std::exchange(capacity_, 0));
    size_ = 0;
  }

  [[nodiscard]] bool reserve(std::size_t capacity) {
    if (capacity <= capacity_) {
      return true;
    }
    const std::size_t wanted = std::max(capacity, capacity_ * 2);
    T* items = static_cast<T*>(::operator new(wanted * sizeof(T), std::nothrow));
    if (items == nullptr) {
      return false;
    }
    std::copy(begin(), end(), items);
    release(std::exchange(items_, items), std::exchange(capacity_, wanted));
    return true;
  }

  // New items have no particular value.
  [[nodiscard]] bool resize(std::size_t size) {
    if (!reserve(size)) {
      return false;
    }
    size_ = size;
    return true;
  }

  // index ≤ size().
  [[nodiscard]] bool insert(std::size_t index, const T& value) {
    const T copy = value;
    if (!reserve(size_ + 1)) {
      return false;
    }
    std::copy_backward(begin() + index, end(), end() + 1);
    items_[index] = copy;
    ++size_;
    return true;
  }
  [[nodiscard]] bool push_back(const T& value) { return insert(size_, value); }

  void erase(std::size_t first, std::size_t last) {
    std::copy(begin() + last, end(), begin() + first);
    size_ -= last - first;
  }

 private:
  static void release(T* items, std::size_t capacity) {
    if (items != nullptr) {
      ::operator delete(items, capacity * sizeof(T));
    }
  }

  T* items_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace linux_server
