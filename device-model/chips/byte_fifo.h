#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device-model/chips/state_fields.h"

namespace ensemble::device {

// A chip's FIFO of bytes that come in frames.
class ByteFifo {
 public:
  explicit ByteFifo(std::size_t capacity) : capacity_(capacity) {}

  std::size_t size() const { return bytes_.size() - taken_; }
  bool empty() const { return size() == 0; }
  bool fits(std::size_t frame_size) const { return size() + frame_size <= capacity_; }

  // Adds a frame. In a full FIFO the oldest frames of `frame_size` bytes make way; true then.
  bool push(std::span<const std::uint8_t> frame) {
    bool overrun = false;
    while (!fits(frame.size()) && !empty()) {
      drop(frame.size());
      overrun = true;
    }
    bytes_.insert(bytes_.end(), frame.begin(), frame.end());
    return overrun;
  }

  // The oldest byte, or `when_empty`.
  std::uint8_t pop(std::uint8_t when_empty) {
    if (empty()) {
      return when_empty;
    }
    const std::uint8_t value = bytes_[taken_];
    drop(1);
    return value;
  }

  void clear() {
    bytes_.clear();
    taken_ = 0;
  }

  void exchange(StateFields& state) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
    state.field(bytes_, capacity_);
  }

 private:
  void drop(std::size_t count) {
    taken_ += std::min(count, size());
    if (taken_ >= capacity_ || taken_ == bytes_.size()) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken_));
      taken_ = 0;
    }
  }

  std::size_t capacity_;
  std::vector<std::uint8_t> bytes_;
  std::size_t taken_ = 0;  // Of bytes_, from the front.
};

}  // namespace ensemble::device
