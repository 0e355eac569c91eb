#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// Makes the call of a native program (guest-kernel/lib/native_program.h) that the task holds.
// Returns 0, a positive errno or kBlocked.
std::int64_t run_native_call(Task& task);

}  // namespace linux_server
