#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace guest {

// Up to kCapacity objects in place. T is default-constructible and copyable.
template <typename T, std::size_t kCapacity>
class FixedVector {
 public:
  // The new element, or nullptr if it is full.
  T* push_back(const T& value) {
    if (size_ == kCapacity) {
      return nullptr;
    }
    items_[size_] = value;
    return &items_[size_++];
  }

  // Of one that is not empty; the others move up.
  void erase_first() {
    std::copy(begin() + 1, end(), begin());
    --size_;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t index) { return items_[index]; }
  const T& operator[](std::size_t index) const { return items_[index]; }
  T* begin() { return items_.data(); }
  T* end() { return items_.data() + size_; }
  const T* begin() const { return items_.data(); }
  const T* end() const { return items_.data() + size_; }

 private:
  std::array<T, kCapacity> items_{};
  std::size_t size_ = 0;
};

}  // namespace guest
