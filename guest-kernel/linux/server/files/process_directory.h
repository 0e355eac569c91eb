#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/files/virtual_directory.h"

namespace linux_server {

// /proc/ID of one process, in `parent`. It is made anew for each look-up. Null: no memory.
Reference<Node> make_process_directory(std::uint32_t id, Node& parent);
// Its number, without making it.
std::uint64_t process_directory_inode(std::uint32_t id);

}  // namespace linux_server
