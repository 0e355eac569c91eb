#include "control/daemon/page.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

namespace ensemble::control {
namespace {

constexpr std::uint32_t kUsualPage = 100;
constexpr std::uint32_t kLargestPage = 1000;

// FNV-1a.
std::uint32_t hash_of(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char letter : text) {
    hash = (hash ^ static_cast<std::uint8_t>(letter)) * 16777619U;
  }
  return hash;
}

}  // namespace

ApiResult<std::size_t> page_size(std::uint32_t asked) {
  if (asked > kLargestPage) {
    return invalid_argument("page_size", std::to_string(asked), "at most 1000");
  }
  return asked == 0 ? kUsualPage : asked;
}

std::string to_page_token(const PageStart& start, const std::string& filter) {
  return fmt::format("{:08x}.{}.{}", hash_of(filter), start.time, start.key);
}

ApiResult<PageStart> parse_page_token(const std::string& token, const std::string& filter) {
  if (token.empty()) {
    return PageStart{};
  }
  const std::size_t first = token.find('.');
  const std::size_t second = token.find('.', first == std::string::npos ? first : first + 1);
  PageStart start;
  bool good = second != std::string::npos;
  if (good) {
    const char* end = token.data() + second;
    good = token.substr(0, first) == fmt::format("{:08x}", hash_of(filter)) &&
           std::from_chars(token.data() + first + 1, end, start.time).ptr == end;
    start.key = token.substr(second + 1);
  }
  if (!good) {
    return invalid_argument("page_token", token,
                            "next_page_token of a response to the same request");
  }
  return start;
}

}  // namespace ensemble::control
