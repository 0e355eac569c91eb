#pragma once

#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// Gets a thread that runs to look at its signals: in the application's code it is made to enter the
// shim; in the shim it looks before it leaves.
void redirect_to_signals(Task& task);
// The same for a thread whose fault is being served. False: it was in the shim, or is gone.
bool redirect_faulted(Task& task);

// Whether `instruction` lies in code that belongs to the shim or the nucleus's entry.
bool is_shim_code(std::uint64_t instruction);

}  // namespace linux_server
