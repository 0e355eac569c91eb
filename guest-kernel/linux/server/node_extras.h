#pragma once

#include "guest-kernel/linux/server/file_locks.h"
#include "guest-kernel/linux/server/reference.h"

namespace linux_server {

struct Watch;

// What only few nodes have.
struct NodeExtras {
  FileLocks locks;
  Watch* watches = nullptr;  // of inotify, linked
  Reference<Counted> attachment;
};

}  // namespace linux_server
