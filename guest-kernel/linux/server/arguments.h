#pragma once

#include <cstdint>
#include <string_view>

namespace linux_server {

// A command's words: NUL-terminated strings, one after another.
struct Arguments {
  std::string_view text;
  std::uint32_t count = 0;
};

}  // namespace linux_server
