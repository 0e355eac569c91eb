#pragma once

#include "guest-kernel/linux/server/directory.h"
#include "guest-kernel/linux/server/file.h"

namespace linux_server {

// Adds /dev with its nodes to `root`. False: no memory.
bool add_device_files(Directory& root);

// Opens a device node by its type and number, wherever it is. ENXIO: there is no such device, or it
// is a socket.
Result<Reference<File>> open_special(Node& node, std::uint32_t flags, Process& opener);

}  // namespace linux_server
