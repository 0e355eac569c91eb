#pragma once

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// The "error" of an open that has to wait: the task waits already.
inline constexpr int kOpenBlocked = -1;

// Opens a named pipe. kOpenBlocked: there is nobody at the
// other end yet.
Result<Reference<File>> open_named_pipe(Task& task, Node& node, std::uint32_t flags);

}  // namespace linux_server
