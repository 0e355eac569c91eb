#pragma once

#include "guest-kernel/linux/server/directory.h"

namespace linux_server {

// Adds /proc to `root`. False: no memory.
bool add_proc_files(Directory& root);

}  // namespace linux_server
