#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "device-model/chips/state_fields.h"

namespace ensemble::device {

// A chip's FIFO of bytes that come in frames. It holds whole frames, but for the oldest, of which
// a part may have been read already.
class ByteFifo {
 public:
  explicit ByteFifo(std::size_t capacity) : capacity_(capacity) {}

  // Bytes that have not been read.
  std::size_t size() const { return bytes_.size() - taken_; }
  bool empty() const { return size() == 0; }
  // Frames of which there is something left to read.
  std::size_t frames() const { return frames_.size(); }
  bool fits(std::size_t frame_size) const { return size() + frame_size <= capacity_; }

  // Adds a frame, which is not empty. In a full FIFO the oldest frames make way, with what is left
  // of one that is being read; true then.
  bool push(std::span<const std::uint8_t> frame) {
    bool overrun = false;
    while (!fits(frame.size()) && !empty()) {
      drop(frames_.front());
      overrun = true;
    }
    bytes_.insert(bytes_.end(), frame.begin(), frame.end());
    frames_.push_back(static_cast<std::uint16_t>(frame.size()));
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
    frames_.clear();
    taken_ = 0;
  }

  void exchange(StateFields& state) {
    forget_taken();
    state.field(bytes_, capacity_);
    if (state.version() < 2) {
      frames_.assign(bytes_.size(), 1);  // Where frames begin was not told.
      return;
    }
    auto count = static_cast<std::uint32_t>(frames_.size());
    state.limited(count, static_cast<std::uint32_t>(bytes_.size()), "frames of a FIFO");
    frames_.resize(std::min<std::size_t>(count, bytes_.size()));
    std::size_t total = 0;
    for (std::uint16_t& frame : frames_) {
      state.field(frame);
      state.require(frame != 0, "a frame of a FIFO is empty");
      total += frame;
    }
    state.require(total == bytes_.size(), "the frames of a FIFO are not as long as its bytes");
  }

 private:
  // Takes bytes of the oldest frame.
  void drop(std::size_t count) {
    taken_ += count;
    frames_.front() = static_cast<std::uint16_t>(frames_.front() - count);
    if (frames_.front() == 0) {
      frames_.pop_front();
    }
    if (taken_ >= capacity_ || taken_ == bytes_.size()) {
      forget_taken();
    }
  }

  void forget_taken() {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
  }

  std::size_t capacity_;
  std::vector<std::uint8_t> bytes_;
  std::deque<std::uint16_t> frames_;  // What is left of each, oldest first.
  std::size_t taken_ = 0;             // Of bytes_, from the front.
};

}  // namespace ensemble::device
