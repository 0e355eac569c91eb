#pragma once

#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// Whether the user has as many threads as RLIMIT_NPROC allows the process.
bool has_too_many_tasks(const Process& process);

// Whether the machine has room for one more thread or process of `process`. The last of it is left
// to the threads that there are, and some more to process groups that have few of them: whoever
// makes as many as he can is not to keep the others from making any. A refusal counts.
bool machine_has_room(const Process& process);

}  // namespace linux_server
