#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ensemble::control {

// The last lines of a text file, oldest first: at most `count` of those in its last 64 KiB, each
// cut off after 1 KiB and with what is no UTF-8 or a control character replaced. Empty when there
// is no such file.
std::vector<std::string> last_lines(const std::string& path, std::size_t count);

// `text` as UTF-8 without control characters: others become '?'.
std::string printable(std::string_view text);

}  // namespace ensemble::control
