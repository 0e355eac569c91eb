#pragma once

#include <string>
#include <string_view>

namespace ensemble::control {

// `text` as UTF-8 without control characters: others become '?'. For what a device says, which may
// be meant for the terminal that shows it.
std::string printable(std::string_view text);

}  // namespace ensemble::control
