#pragma once

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// Adds /proc to `root`. False: no memory.
bool add_proc_files(Node& root);

}  // namespace linux_server
