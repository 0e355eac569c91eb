#pragma once

#include "guest-kernel/linux/server/directory.h"

namespace linux_server {

// Notes the root archive's file system as that of `root`. False: no memory.
bool add_root_mount(Directory& root);
// Mounts file systems in memory where programs expect to be able to write. After the root archive
// has been read: they cover what it has there. False: no memory.
bool mount_writable_file_systems(Directory& root);

}  // namespace linux_server
