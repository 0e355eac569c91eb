#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/result.h"

// All processes and threads: making them, finding them, ending them.
namespace linux_server {

inline constexpr std::size_t kMaximumProcesses = shim::kMaximumProcesses;
inline constexpr std::size_t kMaximumTasks = 2048;

// Null where a place is free. They move: do not keep an index.
std::span<Process* const> all_processes();
std::span<Task* const> all_tasks();

Process* find_process(std::uint64_t id);
Task* find_task(std::uint64_t id);
// The task with the index that its shim tells, if it runs in `memory`.
Task* task_at(std::uint64_t index, const ProcessMemory& memory);
// The first that runs in `memory`; null: none.
Task* find_task_of(const ProcessMemory& memory);
std::uint64_t count_processes();
std::uint64_t count_tasks();

// A new process without threads, in its parent's group and session and with no descriptors. The
// first one has no parent. `places`: what it shares; null: it has its own. EAGAIN, ENOMEM.
Result<Process*> create_process(Process* parent, Reference<ProcessMemory> memory,
                                Reference<Places> places = {});
// A thread of the process that does not run yet. The first one has the process's id. EAGAIN,
// ENOMEM.
Result<Task*> create_task(Process& process);
// Tells the shims of its threads who the parent is.
void publish_parent(const Process& process);
// Lets it run for the first time, on the processor that has least to do. False: the nucleus
// refuses.
bool start_task(Task& task, guest::ThreadStart start);
// Moves the thread, where it is on a processor that its affinity does not allow.
void move_to_allowed_processor(Task& task);
// Forgets a process that nobody has seen yet.
void discard_process(Process& process);

// Ends the thread that the nucleus runs for the task, which is left without one.
void end_thread_of(Task& task);
// exit(2): the last thread's end is that of its process, which is then condemned.
void end_task(Task& task, std::int32_t wait_status);
// Ends all threads but `kept` (may be null).
void end_other_tasks(Process& process, const Task* kept);
// exit_group(2), and what fatal signals do: the process ends at the next end_condemned_processes().
// Until then all that belongs to it stays, so that this may be called in the middle of anything.
// Only the first end counts. `wait_status`: as wait4(2) gives it.
void condemn_process(Process& process, std::int32_t wait_status);
// Only where nothing of any process is in use.
void end_condemned_processes();
// Removes a process that has ended, whose parent has been told.
void reap_process(Process& process);

constexpr std::int32_t exited(std::uint64_t code) {
  return static_cast<std::int32_t>((code & 0xff) << 8);
}
constexpr std::int32_t killed_by(std::uint32_t signal) {
  return static_cast<std::int32_t>(signal);
}

}  // namespace linux_server
