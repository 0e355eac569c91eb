#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

namespace guest_test {

// Builds newc archives, sound or not.
class CpioBuilder {
 public:
  CpioBuilder& add(std::string_view name, std::string_view content, std::uint32_t mode = 0100644,
                   std::size_t name_padding = 0) {
    const std::size_t name_size = name.size() + 1 + name_padding;
    bytes_ += "070701";
    for (const std::size_t field :
         {++inode_, std::size_t{mode}, std::size_t{1}, std::size_t{2}, std::size_t{1},
          std::size_t{3}, content.size(), std::size_t{4}, std::size_t{5}, std::size_t{6},
          std::size_t{7}, name_size, std::size_t{0}}) {
      char digits[9];
      std::snprintf(digits, sizeof(digits), "%08X", static_cast<unsigned>(field));
      bytes_ += digits;
    }
    bytes_.append(name).append(name_size - name.size(), '\0');
    pad();
    bytes_.append(content);
    pad();
    return *this;
  }
  CpioBuilder& finish() { return add("TRAILER!!!", "", 0); }

  std::string& bytes() { return bytes_; }
  std::span<const std::byte> view() const { return std::as_bytes(std::span(bytes_)); }

 private:
  void pad() { bytes_.resize((bytes_.size() + 3) / 4 * 4, '\0'); }

  std::string bytes_;
  std::size_t inode_ = 0;
};

}  // namespace guest_test
