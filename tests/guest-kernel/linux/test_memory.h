#pragma once

#include <cstdint>

namespace linux_server {

// What file_time() says from now on.
void set_file_time(std::int64_t time);

}  // namespace linux_server
