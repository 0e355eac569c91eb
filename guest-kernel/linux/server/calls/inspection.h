#pragma once

#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// ptrace(2)'s PTRACE_MODE_ATTACH with real credentials: whether `viewer` may look into `subject`
// and take what it finds there.
bool may_inspect(const Process& viewer, const Process& subject);

}  // namespace linux_server
