#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// A system call: what it returns goes to the program, unless it is kBlocked.
using CallHandler = std::int64_t (*)(Task& task);

struct CallEntry {
  std::uint16_t number;
  CallHandler handler;
};

// The groups of calls, one per file of calls/.
std::span<const CallEntry> file_calls();
std::span<const CallEntry> path_calls();
std::span<const CallEntry> attribute_calls();
std::span<const CallEntry> extended_attribute_calls();
std::span<const CallEntry> tree_calls();
std::span<const CallEntry> descriptor_calls();
std::span<const CallEntry> copy_calls();
std::span<const CallEntry> lock_calls();
std::span<const CallEntry> watch_calls();
std::span<const CallEntry> memory_calls();
std::span<const CallEntry> remap_calls();
std::span<const CallEntry> advice_calls();
std::span<const CallEntry> shared_memory_calls();
std::span<const CallEntry> process_calls();
std::span<const CallEntry> identity_calls();
std::span<const CallEntry> limit_calls();
std::span<const CallEntry> schedule_calls();
std::span<const CallEntry> control_calls();
std::span<const CallEntry> timer_calls();
std::span<const CallEntry> child_calls();
std::span<const CallEntry> clone_calls();
std::span<const CallEntry> exec_calls();
std::span<const CallEntry> signal_calls();
std::span<const CallEntry> time_calls();
std::span<const CallEntry> wait_calls();
std::span<const CallEntry> pipe_calls();
std::span<const CallEntry> event_calls();
std::span<const CallEntry> epoll_calls();
std::span<const CallEntry> socket_calls();
std::span<const CallEntry> socket_message_calls();
std::span<const CallEntry> inspection_calls();
std::span<const CallEntry> process_descriptor_calls();
std::span<const CallEntry> barrier_calls();
std::span<const CallEntry> message_queue_calls();
std::span<const CallEntry> mount_calls();
std::span<const CallEntry> system_calls();

inline constexpr std::size_t kCallNumbers = 512;

// Prepares the table. Once, before the first call.
void build_call_table();
// Makes the call that `task` holds: counts it, and answers ENOSYS to one that is missing.
std::int64_t make_call(Task& task);

// For /proc/ensemble/calls.
std::string_view call_name(std::size_t number);  // empty: no such number
std::uint64_t call_count(std::size_t number);
bool call_is_implemented(std::size_t number);

}  // namespace linux_server
