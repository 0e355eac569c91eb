#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// A directory of the server's own.
class VirtualDirectory : public Directory {
 public:
  explicit VirtualDirectory(std::string_view name) : Directory(name, 0555) {
    attributes_.device = kVirtualDevice;
  }
};

// /proc/ID of one process. Null: no memory.
Node* make_process_directory(std::uint32_t id);

}  // namespace linux_server
