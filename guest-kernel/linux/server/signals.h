#pragma once

#include "guest-kernel/linux/server/signal_numbers.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// Sends a signal to the thread that makes the call, on behalf of that call (SIGPIPE, SIGXFSZ). The
// call returns its error all the same; the caller must not touch the task any more but return.
void raise_signal(Task& task, Signal signal);

}  // namespace linux_server
