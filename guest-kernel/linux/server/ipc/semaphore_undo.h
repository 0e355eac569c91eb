#pragma once

#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// A process has ended: the changes that it made with SEM_UNDO are taken back.
void undo_semaphores(const Process& process);

}  // namespace linux_server
