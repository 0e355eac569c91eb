#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/signal_numbers.h"

namespace linux_server {

// What terminals ask of processes.
inline std::uint32_t group_of(const Process& process) {
  return process.group;
}
inline std::uint32_t session_of(const Process& process) {
  return process.session;
}
bool group_exists(std::uint32_t group);
bool group_exists(std::uint32_t group, std::uint32_t session);
// May end or stop the process whose call is being served: that comes last.
void send_signal_to_group(std::uint32_t group, Signal signal);
bool is_signal_ignored_or_blocked(const Task& task, Signal signal);
// No process of the session outside the group would notice that the group has stopped.
bool is_orphaned_group(std::uint32_t group);

}  // namespace linux_server
