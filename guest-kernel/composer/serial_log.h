#pragma once

#include <cstdint>
#include <string_view>

namespace composer {

// Writes a line to the 16550 at 0x3F8, through the nucleus: slow, needs no driver, for the last
// words of a machine that fails. Gives up on a transmitter that stays busy.
void log_line(std::string_view text);

}  // namespace composer
