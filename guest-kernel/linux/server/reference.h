#pragma once

#include <cstdint>
#include <utility>

namespace linux_server {

// Base of objects that several owners share. The server has one thread, so the count is plain.
class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  virtual ~Counted() = default;

  std::uint32_t owners() const { return owners_; }
  void acquire() { ++owners_; }
  void release() {
    if (--owners_ == 0) {
      delete this;
    }
  }

 private:
  std::uint32_t owners_ = 0;
};

// One owner's share of a Counted object, or null.
template <typename T>
class Reference {
 public:
  Reference() = default;
  explicit Reference(T* object) : object_(object) {
    if (object_ != nullptr) {
      object_->acquire();
    }
  }
  Reference(const Reference& other) : Reference(other.object_) {}
  Reference(Reference&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <typename U>
  Reference(const Reference<U>& other) : Reference(other.get()) {}  // NOLINT: as shared_ptr
  Reference& operator=(Reference other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  Reference& operator=(T* object) noexcept { return *this = Reference(object); }
  ~Reference() { reset(); }

  void reset() {
    if (T* object = std::exchange(object_, nullptr); object != nullptr) {
      object->release();
    }
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace linux_server
