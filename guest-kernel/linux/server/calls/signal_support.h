#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// Sends a signal to another process, or its own, as kill(2) does: 0 only asks whether it may.
// EINVAL, EPERM.
std::int64_t send_checked(Task& task, Process& receiver, const SignalInfo& info);

}  // namespace linux_server
