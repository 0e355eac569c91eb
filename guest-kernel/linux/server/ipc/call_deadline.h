#pragma once

#include <cstdint>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/task.h"
#include "guest-kernel/linux/server/time_value.h"

namespace linux_server {

// Sets the deadline of a call that waits for `interval` ns, the first time that it is made. Null:
// for ever.
inline void set_deadline(Task& task, const std::uint64_t* interval) {
  if (!task.resumed) {
    task.deadline = interval == nullptr ? Task::kNever : add_time(guest::monotonic_ns(), *interval);
  }
}

// A call's timeout in milliseconds, as poll(2) and epoll_wait(2) have it: negative means for ever.
inline void set_deadline_in_milliseconds(Task& task, std::uint64_t argument) {
  const auto milliseconds = static_cast<std::int32_t>(argument);
  const std::uint64_t interval =
      milliseconds < 0 ? 0 : static_cast<std::uint64_t>(milliseconds) * 1'000'000;
  set_deadline(task, milliseconds < 0 ? nullptr : &interval);
}

// What is left of it.
inline std::uint64_t remaining_time(const Task& task) {
  const std::uint64_t now = guest::monotonic_ns();
  return task.deadline > now ? task.deadline - now : 0;
}

}  // namespace linux_server
