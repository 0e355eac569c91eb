#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// The signal mask that ppoll(2), pselect6(2) and epoll_pwait(2) name: the task has it until its
// call has returned and the signals that it lets through are delivered. `address` 0: no other mask.
// Harmless to call again when the call is resumed. EINVAL: `size` is no mask's; EFAULT.
Result<void> set_signal_mask_for_call(Task& task, std::uint64_t address, std::uint64_t size);

}  // namespace linux_server
