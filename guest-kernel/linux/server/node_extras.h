#pragma once

#include "guest-kernel/linux/server/extended_attributes.h"
#include "guest-kernel/linux/server/file_locks.h"
#include "guest-kernel/linux/server/reference.h"

namespace linux_server {

struct Watch;

// What only few nodes have.
struct NodeExtras {
  FileLocks locks;
  Watch* watches = nullptr;  // of inotify, linked
  Reference<Counted> attachment;
  MemoryAttributes attributes;  // of a node in memory
};

}  // namespace linux_server
