#pragma once

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {

class Server;

// Answers a fault of a process's thread: gives it the memory that it was promised, lets the shim's
// copying fail, or ends the process as the signal would. Returns true if `answer` is to be sent.
bool handle_fault(Server& server, Process& process, const guest::Message& fault,
                  guest::Message& answer);

}  // namespace linux_server
