#pragma once

#include <cstdint>
#include <string>

#include "control/daemon/api_error.h"

namespace ensemble::control {

// Where a page of a list begins: behind this place in the list's order.
struct PageStart {
  std::int64_t time = INT64_MIN;
  std::string key;

  auto operator<=>(const PageStart&) const = default;
};

// How many entries a page has; `asked` 0: 100. The error names the field "page_size".
ApiResult<std::size_t> page_size(std::uint32_t asked);

// A page token for a request with this filter, and back. An empty one is the list's beginning.
std::string to_page_token(const PageStart& start, const std::string& filter);
ApiResult<PageStart> parse_page_token(const std::string& token, const std::string& filter);

}  // namespace ensemble::control
