#pragma once

#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// The whole of a small file, such as those of /proc and /sys: at most 16 MiB, so that none that
// does not end fills the memory. The Error names the file.
Result<std::string> read_small_file(const std::string& path);
// Of one that is open and is called `path`.
Result<std::string> read_small_file(const vmm::FileDescriptor& file, const std::string& path);

}  // namespace ensemble::control
