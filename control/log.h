#pragma once

#include <string>

namespace ensemble::control {

// Sends the log to standard error, from `level` ("trace", "debug", "info", "warn", "error", "off")
// on.
void set_log_level(const std::string& level);

}  // namespace ensemble::control
