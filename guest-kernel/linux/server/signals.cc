#include "guest-kernel/linux/server/signals.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "guest-kernel/linux/server/ipc/process_groups.h"
#include "guest-kernel/linux/server/ipc/signal_arrivals.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/thread_redirect.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kDefault = 0;
constexpr std::uint64_t kIgnore = 1;
constexpr std::uint64_t kResetHandler = 0x8000'0000;  // SA_RESETHAND
constexpr std::uint64_t kNoChildStop = 1;             // SA_NOCLDSTOP

constexpr std::uint64_t kStops = signal_bit(kSignalStop) | signal_bit(kSignalTerminalStop) |
                                 signal_bit(kSignalTerminalInput) |
                                 signal_bit(kSignalTerminalOutput);
constexpr std::uint64_t kIgnoredByDefault = signal_bit(kSignalChild) | signal_bit(kSignalContinue) |
                                            signal_bit(kSignalUrgent) |
                                            signal_bit(kSignalWindowChange);
constexpr std::uint64_t kSynchronous = signal_bit(kSignalSegmentation) | signal_bit(kSignalBus) |
                                       signal_bit(kSignalIllegal) | signal_bit(kSignalTrap) |
                                       signal_bit(kSignalFloatingPoint);

bool is_stop(std::uint32_t number) {
  return (kStops & signal_bit(number)) != 0;
}

enum class Effect : std::uint8_t { kNothing, kHandler, kStop, kEnd };

Effect effect_of(const Process& process, std::uint32_t number) {
  const std::uint64_t handler = process.actions[number].handler;
  if (number == kSignalKill) {
    return Effect::kEnd;
  }
  if (number == kSignalStop) {
    return Effect::kStop;
  }
  if (handler == kIgnore) {
    return Effect::kNothing;
  }
  if (handler != kDefault) {
    return Effect::kHandler;
  }
  return is_stop(number)                                 ? Effect::kStop
         : (kIgnoredByDefault & signal_bit(number)) != 0 ? Effect::kNothing
                                                         : Effect::kEnd;
}

void publish(Task& task) {
  if (task.page != nullptr) {
    task.page->pending = task.pending.set() | task.process->pending.set();
  }
}

// Gets the task to look at its signals soon.
void notify(Task& task) {
  if (task.process->state != ProcessState::kRunning || task.uninterruptible) {
    return;
  }
  if (task.blocked) {
    task.interrupted = true;
    task.wait(ready_tasks());
  } else if (server().current() != &task && !task.held) {
    redirect_to_signals(task);
  }
}

// A group that nobody is left to continue is not stopped by its terminal.
bool may_stop(const Process& process, std::uint32_t number) {
  return number == kSignalStop || !is_orphaned_group(process.group);
}

// What stops and continuations take back, whatever becomes of the signal itself.
void cancel_opposites(Process& process, std::uint32_t number) {
  const std::uint64_t opposites = number == kSignalContinue ? kStops
                                  : is_stop(number)         ? signal_bit(kSignalContinue)
                                                            : 0;
  if (opposites == 0) {
    return;
  }
  drop_signals(process, opposites);
  if (number == kSignalContinue) {
    continue_process(process);
  }
}

// A task of the process that does not block the signal: the one that is calling, or the first.
Task* find_receiver(Process& process, std::uint32_t number) {
  Task* found = nullptr;
  for (Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    if ((blocked_signals(*task) & signal_bit(number)) != 0) {
      continue;
    }
    if (task == server().current()) {
      return task;
    }
    found = found == nullptr ? task : found;
  }
  return found;
}

SignalInfo take_from(Process& process, PendingSignals& pending, std::uint32_t number) {
  SignalInfo info = pending.take(number);
  if (info.code() == SignalInfo::kTimer && process.timers) {
    PosixTimer* timer = process.timers->find(static_cast<std::uint32_t>(info.words[2]));
    if (timer != nullptr) {
      timer->taken(info);
    }
  }
  return info;
}

// The signal is pending; `receiver` (may be null) does not block it.
void act(Process& process, Task* receiver, std::uint32_t number, PendingSignals& pending) {
  publish_signals(process);
  if (receiver == nullptr) {
    return;
  }
  const Effect effect = effect_of(process, number);
  if (effect == Effect::kEnd &&
      (process.state == ProcessState::kRunning || number == kSignalKill)) {
    condemn_process(process, killed_by(number));
    return;
  }
  if (effect == Effect::kStop && process.state == ProcessState::kRunning) {
    take_from(process, pending, number);
    publish_signals(process);
    if (may_stop(process, number)) {
      stop_process(process, number);
    }
    return;
  }
  notify(*receiver);
}

Sent send(Process& process, Task* task, const SignalInfo& info) {
  const std::uint32_t number = info.number();
  if (process.state == ProcessState::kEnded || process.is_condemned || process.tasks() == nullptr) {
    return Sent::kIgnored;
  }
  cancel_opposites(process, number);
  const Task& judge = task != nullptr ? *task : process.task();
  if (is_ignored(process, number) && (blocked_signals(judge) & signal_bit(number)) == 0) {
    return Sent::kIgnored;
  }
  PendingSignals& pending = task != nullptr ? task->pending : process.pending;
  // A timer has had room since it was made.
  const bool is_limited =
      number >= PendingSignals::kFirstRealTime && info.code() != SignalInfo::kTimer;
  if (!pending.add(info, !is_limited || has_signal_room(process))) {
    return Sent::kNoRoom;
  }
  process.signals_arrived.wake();
  signal_arrivals().wake(kReadable);
  Task* receiver = task == nullptr ? find_receiver(process, number)
                   : (blocked_signals(*task) & signal_bit(number)) == 0 ? task
                                                                        : nullptr;
  if (number == kSignalKill) {
    receiver = &process.task();
  }
  act(process, receiver, number, pending);
  return Sent::kPending;
}

}  // namespace

bool is_ignored(const Process& process, std::uint32_t number) {
  return effect_of(process, number) == Effect::kNothing;
}

std::uint64_t blocked_signals(const Task& task) {
  constexpr std::uint64_t kNever = signal_bit(kSignalKill) | signal_bit(kSignalStop);
  return task.page == nullptr ? 0 : task.page->signal_mask & ~kNever;
}

std::uint64_t deliverable_signals(const Task& task) {
  return (task.pending.set() | task.process->pending.set()) & ~blocked_signals(task);
}

void publish_signals(Process& process) {
  for (Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    publish(*task);
  }
}

Sent send_signal(Process& process, const SignalInfo& info) {
  return send(process, nullptr, info);
}

Sent send_signal_to_task(Task& task, const SignalInfo& info) {
  return send(*task.process, &task, info);
}

bool has_signal_room(const Process& process) {
  const std::uint32_t user = process.credentials.real_user;
  std::uint64_t count = 0;
  for (const Process* each : all_processes()) {
    if (each == nullptr || each->credentials.real_user != user) {
      continue;
    }
    count += each->pending.count() + (each->timers ? each->timers->count() : 0);
    for (const Task* task = each->tasks(); task != nullptr; task = task->next_in_process) {
      count += task->pending.count();
    }
  }
  return count < process.limits[shim::kPendingSignalLimit].current;
}

SignalInfo take_pending(Task& task, std::uint32_t number) {
  Process& process = *task.process;
  return take_from(process,
                   (task.pending.set() & signal_bit(number)) != 0 ? task.pending : process.pending,
                   number);
}

void drop_signals(Process& process, std::uint64_t set) {
  process.pending.clear(set);
  for (Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    task->pending.clear(set);
  }
  publish_signals(process);
  if (process.timers) {
    process.timers->signals_dropped(set);
  }
}

void raise_signal(Task& task, Signal signal) {
  send(*task.process, &task,
       SignalInfo::from_process(signal, SignalInfo::kUser, task.process->as_sender()));
}

bool force_signal(Task& task, const SignalInfo& info) {
  Process& process = *task.process;
  const std::uint32_t number = info.number();
  if (process.native() || (blocked_signals(task) & signal_bit(number)) != 0 ||
      effect_of(process, number) != Effect::kHandler) {
    return false;
  }
  task.pending.add(info);
  publish(task);
  return true;
}

void send_child_signal(Process& child, std::uint32_t number) {
  Process* parent = child.parent;
  const std::int32_t status = child.wait_status;
  // CLD_…
  std::int32_t code = 1;
  std::uint64_t told = static_cast<std::uint64_t>(status >> 8 & 0xff);
  if (child.state == ProcessState::kStopped) {
    code = 5;
  } else if (child.state == ProcessState::kRunning) {
    code = 6;
    told = kSignalContinue;
  } else if ((status & 0x7f) != 0) {
    code = (status & 0x80) != 0 ? 3 : 2;
    told = static_cast<std::uint64_t>(status & 0x7f);
  }
  if (child.state != ProcessState::kEnded &&
      (parent->actions[kSignalChild].flags & kNoChildStop) != 0) {
    return;
  }
  send_signal(*parent, {{number, static_cast<std::uint32_t>(code), child.as_sender(), told}});
}

bool take_signal(Task& task, Delivery& delivery) {
  Process& process = *task.process;
  while (process.state == ProcessState::kRunning) {
    const std::uint64_t set = deliverable_signals(task);
    if (set == 0) {
      break;
    }
    const std::uint64_t first = (set & kSynchronous) != 0 ? set & kSynchronous : set;
    const auto number = static_cast<std::uint32_t>(std::countr_zero(first)) + 1;
    const SignalInfo info = take_pending(task, number);
    switch (effect_of(process, number)) {
      case Effect::kNothing:
        break;
      case Effect::kEnd:
        condemn_process(process, killed_by(number));
        return false;
      case Effect::kStop:
        if (may_stop(process, number)) {
          stop_process(process, number);
        }
        break;
      case Effect::kHandler:
        delivery.number = number;
        delivery.action = process.actions[number];
        if ((delivery.action.flags & kResetHandler) != 0) {
          process.actions[number].handler = kDefault;
        }
        std::fill(std::begin(task.page->signal_info), std::end(task.page->signal_info), 0);
        std::copy(info.words.begin(), info.words.end(), task.page->signal_info);
        publish_signals(process);
        return true;
    }
  }
  publish_signals(process);
  return true;
}

void stop_process(Process& process, std::uint32_t number) {
  if (process.state != ProcessState::kRunning) {
    return;
  }
  process.state = ProcessState::kStopped;
  process.wait_status = static_cast<std::int32_t>(number << 8 | 0x7f);
  process.stop_untold = true;
  process.continue_untold = false;
  for (Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    if (!task->blocked && task != server().current() && task->thread != guest::kNoSlot) {
      guest::control_thread(task->thread, abi::ThreadOperation::kSuspend);
      end_running(*task);
      task->suspended = true;
    }
  }
  if (process.parent != nullptr) {
    process.parent->children_changed.wake();
    send_child_signal(process, kSignalChild);
  }
}

void continue_process(Process& process) {
  if (process.state != ProcessState::kStopped) {
    return;
  }
  process.state = ProcessState::kRunning;
  process.wait_status = 0xffff;
  process.stop_untold = false;
  process.continue_untold = true;
  for (Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    if (task->suspended) {
      task->suspended = false;
      begin_running(*task);
      guest::control_thread(task->thread, abi::ThreadOperation::kResume);
    }
    if (task->held) {
      task->held = false;
      server().answer(*task, task->held_result);
    }
    if (deliverable_signals(*task) != 0) {
      notify(*task);
    }
  }
  if (process.parent != nullptr) {
    process.parent->children_changed.wake();
    send_child_signal(process, kSignalChild);
  }
}

}  // namespace linux_server
