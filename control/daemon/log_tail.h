#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ensemble::control {

// The last lines of a text file, oldest first: at most `count` of those in its last 64 KiB, each
// cut off after 1 KiB and with what is no UTF-8 or a control character replaced. Empty when there
// is no such file.
std::vector<std::string> last_lines(const std::string& path, std::size_t count);

}  // namespace ensemble::control
