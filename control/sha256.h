#pragma once

#include <string>

#include "vmm/error.h"

namespace ensemble::control {

// The SHA-256 digest of a file's contents in lower-case hexadecimal. The Error names the file.
Result<std::string> file_sha256(const std::string& path);

}  // namespace ensemble::control
