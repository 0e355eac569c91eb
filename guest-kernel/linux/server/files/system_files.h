#pragma once

#include "guest-kernel/linux/server/directory.h"

namespace linux_server {

// Adds /sys, with the little that programs look for, to `root`. False: no memory.
bool add_system_files(Directory& root);

}  // namespace linux_server
