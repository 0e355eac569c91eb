#pragma once

#include "guest-kernel/linux/server/process_timers.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

// The clock with that number, one of Linux's own or that of a process's or thread's processor time
// (clock_getcpuclockid(3)). EINVAL.
Result<TimerClock> find_clock(const Task& task, std::uint32_t number);
// The same for timer_create(2), which does not know all. EINVAL, EOPNOTSUPP.
Result<TimerClock> timer_clock(const Task& task, std::uint32_t number);

}  // namespace linux_server
