#pragma once

#include <string>

#include "control/command_description.h"

namespace ensemble::control {

enum class Shell { kBash, kZsh, kFish };

// A script that completes the command in a shell: commands, options, listed values, files, and the
// names of devices and profiles, which it asks the command for by its hidden verb `names`.
std::string completion_script(const CommandDescription& command, Shell shell);

// Prints the names of all profiles, one a line, for such scripts. Returns 0.
int print_profiles();

}  // namespace ensemble::control
