#include <asm/unistd.h>
#include <linux/membarrier.h>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"

// membarrier(2). A thread that is stopped and goes on has passed a full barrier on its way.
namespace linux_server {
namespace {

constexpr std::uint32_t kGetRegistrations = 1 << 9;  // newer than the headers
constexpr std::uint32_t kRegistrations = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
                                         MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |
                                         MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
constexpr std::uint32_t kCommands =
    MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
    MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE | kGetRegistrations | kRegistrations;

// Who the barrier is for.
enum class Scope : std::uint8_t { kAll, kRegistered, kOwnMemory };

bool is_meant(const Task& caller, const Task& task, Scope scope) {
  Process& process = *task.process;
  if (!process.has_memory()) {
    return false;
  }
  switch (scope) {
    case Scope::kAll:
      return true;
    case Scope::kRegistered:
      return (process.memory().barriers & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0;
    case Scope::kOwnMemory:
      return &process.memory() == &caller.process->memory();
  }
  return false;
}

// The caller's processor has come here, which is a barrier as well.
std::int64_t pass_barriers(const Task& caller, Scope scope) {
  for (const Task* task : all_tasks()) {
    if (task != nullptr && task != &caller && !task->blocked && !task->held && !task->suspended &&
        task->thread != guest::kNoSlot && task->processor != caller.processor &&
        is_meant(caller, *task, scope)) {
      guest::control_thread(task->thread, abi::ThreadOperation::kSuspend);
      guest::control_thread(task->thread, abi::ThreadOperation::kResume);
    }
  }
  return 0;
}

// The registration that an expedited command of one's own memory asks for.
std::int64_t pass_registered(const Task& task, std::uint32_t registration) {
  return (task.process->memory().barriers & registration) != 0
             ? pass_barriers(task, Scope::kOwnMemory)
             : -EPERM;
}

std::int64_t call_membarrier(Task& task) {
  const auto command = static_cast<std::uint32_t>(task.arguments[0]);
  if (static_cast<std::uint32_t>(task.arguments[1]) != 0) {
    return -EINVAL;
  }
  std::uint32_t& barriers = task.process->memory().barriers;
  switch (command) {
    case MEMBARRIER_CMD_QUERY:
      return kCommands;
    case MEMBARRIER_CMD_GLOBAL:
      return pass_barriers(task, Scope::kAll);
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
      return pass_barriers(task, Scope::kRegistered);
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
      return pass_registered(task, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
      return pass_registered(task, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
    case kGetRegistrations:
      return barriers;
    default:
      if ((command & (command - 1)) != 0 || (command & kRegistrations) == 0) {
        return -EINVAL;
      }
      barriers |= command;
      return 0;
  }
}

constexpr CallEntry kCalls[] = {{__NR_membarrier, call_membarrier}};

}  // namespace

std::span<const CallEntry> barrier_calls() {
  return kCalls;
}

}  // namespace linux_server
