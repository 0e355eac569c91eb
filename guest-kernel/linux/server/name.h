#pragma once

#include <cstdint>
#include <string_view>

namespace linux_server {

// The name of a directory entry. Those of the root archive and the server's own lie still for ever;
// those that programs choose are shared by the entry and its node, and counted.
class Name {
 public:
  Name() = default;
  // A name that outlives everything.
  explicit Name(std::string_view text)
      : text_(text.data()), size_(static_cast<std::uint16_t>(text.size())) {}
  // A copy of `text`, at most NAME_MAX bytes; is_null(): no memory.
  static Name copy(std::string_view text);
  Name(const Name& other);
  Name(Name&& other) noexcept;
  Name& operator=(Name other) noexcept;
  ~Name();

  bool is_null() const { return text_ == nullptr; }
  std::string_view view() const { return {text_, size_}; }

 private:
  std::uint32_t& owners() const;

  const char* text_ = nullptr;
  std::uint16_t size_ = 0;
  bool counted_ = false;  // the number of owners lies before the text
};

}  // namespace linux_server
