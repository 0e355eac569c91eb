#pragma once

#include <span>

#include "guest-kernel/linux/server/call_table.h"

namespace linux_server {

// The calls on semaphores and message queues of System V.
std::span<const CallEntry> semaphore_calls();
std::span<const CallEntry> message_calls();

}  // namespace linux_server
