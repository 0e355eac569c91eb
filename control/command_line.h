#pragma once

#include <span>
#include <string>

namespace ensemble::control {

// Runs the `ensemble` command with `arguments` (without the program's name) and returns its exit
// code. Prints results to standard output, and to standard error one sentence for what went wrong.
int run_command_line(std::span<const char* const> arguments);

}  // namespace ensemble::control
