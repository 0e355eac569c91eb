#include <asm/unistd.h>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/signal_numbers.h"

// Signals: handlers are recorded, and a signal that a process sends itself takes its default action
// or none. Delivery to handlers is not there yet.
namespace linux_server {
namespace {

constexpr std::uint64_t kDefault = 0;
constexpr std::uint64_t kIgnore = 1;

std::int64_t call_sigaction(Task& task) {
  const std::uint64_t signal = static_cast<std::uint32_t>(task.arguments[0]);
  if (signal == 0 || signal > Process::kSignals || task.arguments[3] != 8) {
    return -EINVAL;
  }
  AddressSpace& space = task.process->space();
  SignalAction& action = task.process->actions[signal];
  const SignalAction old_action = action;
  if (task.arguments[1] != 0) {
    const auto wanted = space.read_value<SignalAction>(task.arguments[1]);
    if (!wanted) {
      return -EFAULT;
    }
    if (signal == kSignalKill || signal == kSignalStop) {
      return -EINVAL;
    }
    action = *wanted;
  }
  if (task.arguments[2] != 0 && !space.write_value(task.arguments[2], old_action)) {
    return -EFAULT;
  }
  return 0;
}

bool is_ignored_by_default(std::uint64_t signal) {
  switch (signal) {
    case kSignalChild:
    case kSignalContinue:
    case kSignalUrgent:
    case kSignalWindowChange:
    case kSignalStop:
    case kSignalTerminalStop:
    case kSignalTerminalInput:
    case kSignalTerminalOutput:
      return true;
    default:
      return false;
  }
}

std::int64_t send(Task& task, std::uint64_t id, std::uint64_t signal) {
  if (signal > Process::kSignals) {
    return -EINVAL;
  }
  if (id != task.process->id() && id != 0) {
    return -ESRCH;
  }
  const std::uint64_t handler = signal == 0 ? kIgnore : task.process->actions[signal].handler;
  if (signal == 0 || handler == kIgnore || (handler == kDefault && is_ignored_by_default(signal))) {
    return 0;
  }
  if (handler != kDefault && signal != kSignalKill) {
    return -ENOSYS;
  }
  server().end_process(*task.process, 128 + static_cast<int>(signal));
  return kBlocked;
}

std::int64_t call_kill(Task& task) {
  return send(task, static_cast<std::uint32_t>(task.arguments[0]),
              static_cast<std::uint32_t>(task.arguments[1]));
}
std::int64_t call_tgkill(Task& task) {
  return send(task, static_cast<std::uint32_t>(task.arguments[0]),
              static_cast<std::uint32_t>(task.arguments[2]));
}

// No signal is ever pending, and a mask is kept by the shim.
std::int64_t call_sigpending(Task& task) {
  const std::uint64_t none = 0;
  return task.process->space().write_value(task.arguments[0], none) ? 0 : -EFAULT;
}

std::int64_t call_sigaltstack(Task& task) {
  struct AlternateStack {
    std::uint64_t address;
    std::int32_t flags;
    std::int32_t padding;
    std::uint64_t size;
  };
  AddressSpace& space = task.process->space();
  if (task.arguments[0] != 0 && !space.read_value<AlternateStack>(task.arguments[0])) {
    return -EFAULT;
  }
  const AlternateStack disabled = {0, 2, 0, 0};  // SS_DISABLE
  return task.arguments[1] == 0 || space.write_value(task.arguments[1], disabled) ? 0 : -EFAULT;
}

constexpr CallEntry kCalls[] = {
    {__NR_rt_sigaction, call_sigaction},
    {__NR_kill, call_kill},
    {__NR_tkill, call_kill},
    {__NR_tgkill, call_tgkill},
    {__NR_rt_sigpending, call_sigpending},
    {__NR_sigaltstack, call_sigaltstack},
};

}  // namespace

std::span<const CallEntry> signal_calls() {
  return kCalls;
}

}  // namespace linux_server
