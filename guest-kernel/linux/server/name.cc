#include "guest-kernel/linux/server/name.h"

#include <cstring>
#include <new>
#include <utility>

namespace linux_server {

std::uint32_t& Name::owners() const {
  return *reinterpret_cast<std::uint32_t*>(const_cast<char*>(text_) - sizeof(std::uint32_t));
}

Name Name::copy(std::string_view text) {
  Name name;
  void* memory = ::operator new(sizeof(std::uint32_t) + text.size(), std::nothrow);
  if (memory == nullptr) {
    return name;
  }
  char* bytes = static_cast<char*>(memory) + sizeof(std::uint32_t);
  std::memcpy(bytes, text.data(), text.size());
  name.text_ = bytes;
  name.size_ = static_cast<std::uint16_t>(text.size());
  name.counted_ = true;
  name.owners() = 1;
  return name;
}

Name::Name(const Name& other) : text_(other.text_), size_(other.size_), counted_(other.counted_) {
  if (counted_) {
    ++owners();
  }
}

Name::Name(Name&& other) noexcept
    : text_(std::exchange(other.text_, nullptr)),
      size_(std::exchange(other.size_, std::uint16_t{0})),
      counted_(std::exchange(other.counted_, false)) {}

Name& Name::operator=(Name other) noexcept {
  std::swap(text_, other.text_);
  std::swap(size_, other.size_);
  std::swap(counted_, other.counted_);
  return *this;
}

Name::~Name() {
  if (counted_ && --owners() == 0) {
    ::operator delete(&owners(), sizeof(std::uint32_t) + size_);
  }
}

}  // namespace linux_server
