#pragma once

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/process_memory.h"

namespace linux_server {

// A thread of a process has met an exception. Returns true if `answer` is to be sent.
bool handle_fault(ProcessMemory& memory, const guest::Message& fault, guest::Message& answer);

}  // namespace linux_server
