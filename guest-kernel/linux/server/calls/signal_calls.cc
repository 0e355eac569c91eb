#include <asm/unistd.h>

#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/signal_support.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/signals.h"
#include "guest-kernel/linux/server/time_value.h"

// Calls on signals that the shim does not answer alone.
namespace linux_server {
namespace {

constexpr std::uint64_t kSetSize = 8;

std::int64_t call_sigaction(Task& task) {
  const std::uint64_t signal = static_cast<std::uint32_t>(task.arguments[0]);
  if (signal == 0 || signal > Process::kSignals || task.arguments[3] != kSetSize) {
    return -EINVAL;
  }
  Process& process = *task.process;
  SignalAction& action = process.actions[signal];
  const SignalAction old_action = action;
  if (task.arguments[1] != 0) {
    const auto wanted = process.space().read_value<SignalAction>(task.arguments[1]);
    if (!wanted) {
      return -EFAULT;
    }
    if (signal == kSignalKill || signal == kSignalStop) {
      return -EINVAL;
    }
    action = *wanted;
    action.mask &= ~(signal_bit(kSignalKill) | signal_bit(kSignalStop));
    if (is_ignored(process, static_cast<std::uint32_t>(signal))) {
      drop_signals(process, signal_bit(signal));
    }
  }
  if (task.arguments[2] != 0 && !process.space().write_value(task.arguments[2], old_action)) {
    return -EFAULT;
  }
  return 0;
}

// What calls return that queue a signal.
std::int64_t told(Sent sent) {
  return sent == Sent::kNoRoom ? -EAGAIN : 0;
}

// Whether the sender may; within a session everybody may continue everybody.
bool may_send(const Process& sender, const Process& receiver, std::uint64_t signal) {
  return &sender == &receiver || may_signal(sender.credentials, receiver.credentials) ||
         (signal == kSignalContinue && sender.session == receiver.session);
}

std::int64_t call_kill(Task& task) {
  const auto id = static_cast<std::int32_t>(task.arguments[0]);
  const std::uint64_t signal = static_cast<std::uint32_t>(task.arguments[1]);
  if (signal > Process::kSignals) {
    return -EINVAL;
  }
  const std::uint32_t sender = task.process->id();
  const SignalInfo info = SignalInfo::from_process(static_cast<std::uint32_t>(signal),
                                                   SignalInfo::kUser, task.process->as_sender());
  if (id > 0) {
    Process* process = find_process(static_cast<std::uint32_t>(id));
    if (process == nullptr) {
      return -ESRCH;
    }
    return send_checked(task, *process, info);
  }
  const std::uint32_t group = id == 0 ? task.process->group : static_cast<std::uint32_t>(-id);
  bool any = false;
  bool any_allowed = false;
  for (Process* process : all_processes()) {
    if (process == nullptr ||
        (id == -1 ? process->id() == 1 || process->id() == sender : process->group != group)) {
      continue;
    }
    any = true;
    if (!may_send(*task.process, *process, signal)) {
      continue;
    }
    any_allowed = true;
    if (signal != 0) {
      send_signal(*process, info);
    }
  }
  return any_allowed ? 0 : any ? -EPERM : -ESRCH;
}

std::int64_t send_to_thread(Task& task, std::uint64_t group, std::uint64_t id,
                            const SignalInfo& info) {
  if (info.number() > Process::kSignals || static_cast<std::int32_t>(id) <= 0) {
    return -EINVAL;
  }
  Task* target = find_task(id);
  if (target == nullptr || (group != 0 && target->process->id() != group)) {
    return -ESRCH;
  }
  if (!may_send(*task.process, *target->process, info.number())) {
    return -EPERM;
  }
  if (info.number() != 0) {
    return told(send_signal_to_task(*target, info));
  }
  return 0;
}

std::int64_t call_tkill(Task& task) {
  return send_to_thread(task, 0, static_cast<std::uint32_t>(task.arguments[0]),
                        SignalInfo::from_process(static_cast<std::uint32_t>(task.arguments[1]),
                                                 SignalInfo::kThread, task.process->as_sender()));
}

std::int64_t call_tgkill(Task& task) {
  const std::uint64_t group = static_cast<std::uint32_t>(task.arguments[0]);
  if (static_cast<std::int32_t>(group) <= 0) {
    return -EINVAL;
  }
  return send_to_thread(task, group, static_cast<std::uint32_t>(task.arguments[1]),
                        SignalInfo::from_process(static_cast<std::uint32_t>(task.arguments[2]),
                                                 SignalInfo::kThread, task.process->as_sender()));
}

// The siginfo_t that a process gives. What only the kernel may claim is refused.
Result<SignalInfo> read_info(Task& task, std::uint64_t address, std::uint64_t signal,
                             std::uint64_t receiver) {
  auto info = task.process->space().read_value<SignalInfo>(address);
  if (!info) {
    return info;
  }
  if (signal > Process::kSignals) {
    return fail(EINVAL);
  }
  if ((info->code() >= 0 || info->code() == SignalInfo::kThread) &&
      receiver != task.process->id()) {
    return fail(EPERM);
  }
  info->words[0] = signal;
  return info;
}

std::int64_t call_sigqueueinfo(Task& task) {
  const std::uint64_t id = static_cast<std::uint32_t>(task.arguments[0]);
  const auto info =
      read_info(task, task.arguments[2], static_cast<std::uint32_t>(task.arguments[1]), id);
  if (!info) {
    return -info.error().number;
  }
  Process* process = find_process(id);
  if (process == nullptr) {
    return -ESRCH;
  }
  return send_checked(task, *process, *info);
}

std::int64_t call_tgsigqueueinfo(Task& task) {
  const std::uint64_t group = static_cast<std::uint32_t>(task.arguments[0]);
  const auto info =
      read_info(task, task.arguments[3], static_cast<std::uint32_t>(task.arguments[2]), group);
  return info ? send_to_thread(task, group, static_cast<std::uint32_t>(task.arguments[1]), *info)
              : -info.error().number;
}

std::int64_t call_sigpending(Task& task) {
  if (task.arguments[1] > kSetSize) {
    return -EINVAL;
  }
  const std::uint64_t set =
      (task.pending.set() | task.process->pending.set()) & blocked_signals(task);
  return task.process->space().write_value(task.arguments[0], set) ? 0 : -EFAULT;
}

std::int64_t call_sigtimedwait(Task& task) {
  if (task.arguments[3] != kSetSize) {
    return -EINVAL;
  }
  AddressSpace& space = task.process->space();
  const auto wanted = space.read_value<std::uint64_t>(task.arguments[0]);
  if (!wanted) {
    return -EFAULT;
  }
  if (!task.resumed) {
    task.deadline = Task::kNever;
    if (task.arguments[2] != 0) {
      const auto interval = read_time_spec(space, task.arguments[2]);
      if (!interval) {
        return -interval.error().number;
      }
      task.deadline = add_time(guest::monotonic_ns(), *interval);
    }
  }
  const std::uint64_t set = (task.pending.set() | task.process->pending.set()) & *wanted;
  if (set != 0) {
    const auto number = static_cast<std::uint32_t>(__builtin_ctzll(set)) + 1;
    const SignalInfo info = take_pending(task, number);
    publish_signals(*task.process);
    std::array<std::uint64_t, 16> words = {};
    std::copy(info.words.begin(), info.words.end(), words.begin());
    return task.arguments[1] == 0 || space.write_value(task.arguments[1], words)
               ? static_cast<std::int64_t>(number)
               : -EFAULT;
  }
  if (task.is_due()) {
    return -EAGAIN;
  }
  return task.interrupted ? -EINTR : task.wait(task.process->signals_arrived);
}

std::int64_t call_pause(Task& task) {
  return task.interrupted ? shim::kRestartUnlessHandled : task.wait_for_deadline();
}

// The shim found no room for a handler's frame, or nothing sound to return to.
std::int64_t call_no_stack(Task& task) {
  condemn_process(*task.process, killed_by(kSignalSegmentation));
  return kBlocked;
}

constexpr CallEntry kCalls[] = {
    {__NR_rt_sigaction, call_sigaction},
    {__NR_kill, call_kill},
    {__NR_tkill, call_tkill},
    {__NR_tgkill, call_tgkill},
    {__NR_rt_sigqueueinfo, call_sigqueueinfo},
    {__NR_rt_tgsigqueueinfo, call_tgsigqueueinfo},
    {__NR_rt_sigpending, call_sigpending},
    {__NR_rt_sigtimedwait, call_sigtimedwait},
    {__NR_pause, call_pause},
    {__NR_rt_sigsuspend, call_pause},
    {shim::kNoStack, call_no_stack},
};

}  // namespace

std::int64_t send_checked(Task& task, Process& receiver, const SignalInfo& info) {
  if (info.number() > Process::kSignals) {
    return -EINVAL;
  }
  if (!may_send(*task.process, receiver, info.number())) {
    return -EPERM;
  }
  return info.number() == 0 ? 0 : told(send_signal(receiver, info));
}

std::span<const CallEntry> signal_calls() {
  return kCalls;
}

}  // namespace linux_server
