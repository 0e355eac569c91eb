#pragma once

#include <string>

#include "vmm/error.h"

namespace ensemble::control {

// The whole of a small file, such as those of /proc and /sys. The Error names the file.
Result<std::string> read_small_file(const std::string& path);

}  // namespace ensemble::control
