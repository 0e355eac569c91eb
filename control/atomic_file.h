#pragma once

#include <string>
#include <string_view>

#include "vmm/error.h"

namespace ensemble::control {

// Writes `content` to `path` so that a reader sees the old file or the whole new one, never a part
// of it: a temporary file in the same directory is written, synchronised and renamed. A path that
// names something other than a regular file (a device, a pipe) is written to directly. On failure
// nothing is left behind and the error names `path`.
Result<void> write_file_atomically(const std::string& path, std::string_view content);

}  // namespace ensemble::control
