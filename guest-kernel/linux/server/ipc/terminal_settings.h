#pragma once

#include <cstdint>
#include <optional>

#include "guest-kernel/linux/server/terminal_line.h"

namespace linux_server {

struct Task;

// The requests of ioctl_tty(2) that read or change a terminal's settings, in the shapes of struct
// termios, termios2 and termio, and those that lock them. Nothing: another kind of request.
std::optional<std::int64_t> control_terminal_settings(Task& task, TerminalLine& line,
                                                      std::uint64_t request, std::uint64_t address);

}  // namespace linux_server
