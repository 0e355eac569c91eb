#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// Wakes up to `count` of those who wait for several futexes of which `place` is one. Returns how
// many.
std::int64_t wake_vector_waiters(const FutexPlace& place, std::uint64_t count);

// futex_waitv(2)
std::int64_t call_futex_waitv(Task& task);

}  // namespace linux_server
