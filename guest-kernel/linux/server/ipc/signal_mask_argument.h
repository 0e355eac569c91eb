#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// Checks the signal mask that ppoll(2), pselect6(2) or epoll_pwait(2) names; `address` 0: none. The
// shim has put it in force by then, and takes it back after the call. EINVAL: `size` is no mask's;
// EFAULT.
Result<void> check_signal_mask(Task& task, std::uint64_t address, std::uint64_t size);

}  // namespace linux_server
