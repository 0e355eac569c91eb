#pragma once

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

class Process;

// Whether `viewer` may look into the process: its memory, descriptors and directories (ptrace(2),
// PTRACE_MODE_READ_FSCREDS). Null: the server itself, which may.
bool may_inspect(const Process* viewer, const Process& subject);
// Gives a file of /proc/ID the owner that it has: the process's user, or root where nobody else may
// look into the process.
void set_inspected_owner(Attributes& attributes, const Process* viewer, std::uint32_t subject);

}  // namespace linux_server
