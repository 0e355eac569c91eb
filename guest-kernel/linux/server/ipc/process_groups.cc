#include "guest-kernel/linux/server/ipc/process_groups.h"

#include <algorithm>

#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/signals.h"

namespace linux_server {

bool group_exists(std::uint32_t group) {
  const auto all = all_processes();
  return std::any_of(all.begin(), all.end(), [group](const Process* each) {
    return each != nullptr && each->group == group;
  });
}

bool group_exists(std::uint32_t group, std::uint32_t session) {
  const auto all = all_processes();
  return std::any_of(all.begin(), all.end(), [group, session](const Process* each) {
    return each != nullptr && each->group == group && each->session == session;
  });
}

void send_signal_to_group(std::uint32_t group, Signal signal) {
  const SignalInfo info = SignalInfo::of(signal, SignalInfo::kKernel);
  for (Process* process : all_processes()) {
    if (process != nullptr && process->group == group) {
      send_signal(*process, info);
    }
  }
}

bool is_signal_ignored_or_blocked(const Task& task, Signal signal) {
  return is_ignored(*task.process, signal) || (blocked_signals(task) & signal_bit(signal)) != 0;
}

bool is_orphaned_group(std::uint32_t group) {
  const auto all = all_processes();
  return std::none_of(all.begin(), all.end(), [group](const Process* each) {
    return each != nullptr && each->group == group && each->state != ProcessState::kEnded &&
           each->parent != nullptr && each->parent->group != group &&
           each->parent->session == each->session;
  });
}

}  // namespace linux_server
