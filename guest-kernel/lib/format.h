#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace guest {

// Builds text in a buffer of the caller's. What does not fit is cut off.
class TextWriter {
 public:
  explicit TextWriter(std::span<char> buffer) : buffer_(buffer) {}

  TextWriter& text(std::string_view value) {
    for (const char c : value) {
      put(c);
    }
    return *this;
  }
  TextWriter& put(char c) {
    if (size_ < buffer_.size()) {
      buffer_[size_++] = c;
    } else {
      cut_ = true;
    }
    return *this;
  }
  TextWriter& decimal(std::uint64_t value);
  // Lower-case digits without a prefix, at least `width` of them.
  TextWriter& hexadecimal(std::uint64_t value, unsigned width = 1);

  std::string_view view() const { return {buffer_.data(), size_}; }
  std::size_t size() const { return size_; }
  bool cut() const { return cut_; }
  void clear() {
    size_ = 0;
    cut_ = false;
  }

 private:
  std::span<char> buffer_;
  std::size_t size_ = 0;
  bool cut_ = false;
};

// Copies `text` into a fixed array as a NUL-terminated string, cut where too long.
void copy_text(std::span<char> to, std::string_view text);
// The text up to the first NUL, or all of it.
std::string_view text_of(std::span<const char> from);

}  // namespace guest
