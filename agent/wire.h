#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "agent/protocol.h"

namespace ensemble::agent {

// Reads the fields of a body. What is not there reads as zero or empty, and ok() is false from then
// on.
class BodyReader {
 public:
  explicit BodyReader(std::string_view body) : rest_(body) {}

  template <typename T>
  T number() {
    static_assert(std::is_integral_v<T>);
    T value = 0;
    if (take(sizeof value)) {
      std::memcpy(&value, taken_.data(), sizeof value);
    }
    return value;
  }

  std::string_view text() {
    const auto size = number<std::uint32_t>();
    return take(size) ? taken_ : std::string_view{};
  }

  // A text that a system call takes: one with a NUL is as good as missing.
  std::string_view name() {
    const std::string_view value = text();
    ok_ = ok_ && value.find('\0') == std::string_view::npos;
    return ok_ ? value : std::string_view{};
  }

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }

 private:
  bool take(std::size_t size) {
    ok_ = ok_ && size <= rest_.size();
    if (ok_) {
      taken_ = rest_.substr(0, size);
      rest_.remove_prefix(size);
    }
    return ok_;
  }

  std::string_view rest_;
  std::string_view taken_;
  bool ok_ = true;
};

// Appends the fields of a body.
class BodyWriter {
 public:
  template <typename T>
  BodyWriter& number(T value) {
    static_assert(std::is_integral_v<T>);
    body_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }

  BodyWriter& text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    body_.append(value);
    return *this;
  }

  const std::string& body() const { return body_; }

 private:
  std::string body_;
};

}  // namespace ensemble::agent
