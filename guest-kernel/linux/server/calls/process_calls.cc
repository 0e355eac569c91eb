#include <asm/unistd.h>

#include <algorithm>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/process_table.h"

// Calls on processes, their groups and sessions.
namespace linux_server {
namespace {

std::int64_t call_getpid(Task& task) {
  return task.process->id();
}
std::int64_t call_gettid(Task& task) {
  return task.id;
}
std::int64_t call_getppid(Task& task) {
  const Process* parent = task.process->parent;
  return parent == nullptr ? 0 : parent->id();
}

// The process that a call names; 0 is the caller's.
Process* find_named(Task& task, std::uint64_t argument) {
  const std::uint64_t id = static_cast<std::uint32_t>(argument);
  return id == 0 ? task.process : find_process(id);
}

std::int64_t call_getpgid(Task& task) {
  const Process* process = find_named(task, task.arguments[0]);
  return process == nullptr ? -ESRCH : std::int64_t{process->group};
}
std::int64_t call_getsid(Task& task) {
  const Process* process = find_named(task, task.arguments[0]);
  return process == nullptr ? -ESRCH : std::int64_t{process->session};
}
std::int64_t call_getpgrp(Task& task) {
  return task.process->group;
}

bool has_group(std::uint32_t group, std::uint32_t session) {
  return std::any_of(all_processes().begin(), all_processes().end(), [=](const Process* each) {
    return each != nullptr && each->group == group && each->session == session;
  });
}

std::int64_t call_setpgid(Task& task) {
  Process* process = find_named(task, task.arguments[0]);
  // A group of 0 is that of the process's own number.
  const auto named =
      static_cast<std::int32_t>(task.arguments[1] != 0 ? task.arguments[1] : task.arguments[0]);
  if (named < 0) {
    return -EINVAL;
  }
  if (process == nullptr || process->state == ProcessState::kEnded ||
      (process != task.process && process->parent != task.process)) {
    return -ESRCH;
  }
  const auto wanted = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint32_t group = wanted == 0 ? process->id() : wanted;
  if (process->session != task.process->session || process->session == process->id()) {
    return -EPERM;
  }
  if (process != task.process && process->has_called_exec) {
    return -EACCES;
  }
  if (group != process->id() && !has_group(group, task.process->session)) {
    return -EPERM;
  }
  process->group = group;
  return 0;
}

std::int64_t call_setsid(Task& task) {
  Process& process = *task.process;
  const bool leads = std::any_of(
      all_processes().begin(), all_processes().end(),
      [&process](const Process* each) { return each != nullptr && each->group == process.id(); });
  if (leads) {
    return -EPERM;
  }
  process.group = process.session = process.id();
  return process.id();
}

std::int64_t call_get_robust_list(Task& task) {
  constexpr std::uint64_t kSize = 24;  // struct robust_list_head
  const auto id = static_cast<std::uint32_t>(task.arguments[0]);
  const Task* subject = id == 0 ? &task : find_task(id);
  if (subject == nullptr) {
    return -ESRCH;
  }
  const Process& its = *subject->process;
  if (&its != task.process && !task.process->credentials.has(Capability::kTrace) &&
      task.process->credentials.real_user != its.credentials.real_user) {
    return -EPERM;
  }
  const std::uint64_t head = subject->page != nullptr ? subject->page->robust_list : 0;
  AddressSpace& space = task.process->space();
  return space.write_value(task.arguments[2], kSize) && space.write_value(task.arguments[1], head)
             ? 0
             : -EFAULT;
}

constexpr CallEntry kCalls[] = {
    {__NR_getpid, call_getpid},
    {__NR_gettid, call_gettid},
    {__NR_getppid, call_getppid},
    {__NR_getpgid, call_getpgid},
    {__NR_getsid, call_getsid},
    {__NR_getpgrp, call_getpgrp},
    {__NR_setpgid, call_setpgid},
    {__NR_setsid, call_setsid},
    {__NR_get_robust_list, call_get_robust_list},
};

}  // namespace

std::span<const CallEntry> process_calls() {
  return kCalls;
}

}  // namespace linux_server
