#pragma once

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// Adds /dev with its nodes to `root`. False: no memory.
bool add_device_files(Node& root);

}  // namespace linux_server
