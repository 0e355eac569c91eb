#include <asm/unistd.h>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/clock_ids.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/resource_usage.h"
#include "guest-kernel/linux/server/signal_numbers.h"

// Timers that send signals: alarm(2), setitimer(2), timer_create(2).
namespace linux_server {
namespace {

// struct itimerval
struct IntervalValue {
  TimeValue interval;
  TimeValue value;
};
// struct itimerspec
struct IntervalSpec {
  TimeSpec interval;
  TimeSpec value;
};

Result<std::uint64_t> from_time_value(const TimeValue& time) {
  constexpr std::int64_t kMicroseconds = 1'000'000;
  if (time.microseconds < 0 || time.microseconds >= kMicroseconds) {
    return fail(EINVAL);
  }
  return to_nanoseconds(time.seconds, time.microseconds * 1000);
}

ProcessTimer::Setting interval_setting(const Process& process, IntervalKind kind) {
  return process.timers ? process.timers->interval(kind).setting() : ProcessTimer::Setting{};
}

// Rounds what is left up: a timer that has not expired never shows zero.
TimeValue rest_of(std::uint64_t ns) {
  return to_time_value(add_time(ns, 999));
}

std::int64_t call_getitimer(Task& task) {
  const std::uint64_t kind = static_cast<std::uint32_t>(task.arguments[0]);
  if (kind > 2) {
    return -EINVAL;
  }
  const auto setting = interval_setting(*task.process, static_cast<IntervalKind>(kind));
  const IntervalValue value = {to_time_value(setting.interval), rest_of(setting.left)};
  return task.process->space().write_value(task.arguments[1], value) ? 0 : -EFAULT;
}

std::int64_t set_interval(Process& process, IntervalKind kind, std::uint64_t value,
                          std::uint64_t interval) {
  if (value == 0 && !process.timers) {
    return 0;
  }
  ProcessTimers* timers = timers_of(process);
  if (timers == nullptr) {
    return -ENOMEM;
  }
  ProcessTimer& timer = timers->interval(kind);
  const std::uint64_t next = add_time(read_timer_clock(process, timer.clock()), value);
  timer.start(value != 0 ? &next : nullptr, interval);
  return 0;
}

std::int64_t call_setitimer(Task& task) {
  AddressSpace& space = task.process->space();
  const std::uint64_t kind = static_cast<std::uint32_t>(task.arguments[0]);
  std::uint64_t value = 0;
  std::uint64_t interval = 0;
  if (task.arguments[1] != 0) {
    const auto given = space.read_value<IntervalValue>(task.arguments[1]);
    if (!given) {
      return -EFAULT;
    }
    const auto first = from_time_value(given->value);
    const auto rest = from_time_value(given->interval);
    if (!first || !rest) {
      return -EINVAL;
    }
    value = *first;
    interval = *rest;
  }
  if (kind > 2) {
    return -EINVAL;
  }
  const auto which = static_cast<IntervalKind>(kind);
  const auto old = interval_setting(*task.process, which);
  if (const std::int64_t error = set_interval(*task.process, which, value, interval); error != 0) {
    return error;
  }
  const IntervalValue before = {to_time_value(old.interval), rest_of(old.left)};
  return task.arguments[2] == 0 || space.write_value(task.arguments[2], before) ? 0 : -EFAULT;
}

std::int64_t call_alarm(Task& task) {
  const std::uint64_t seconds = static_cast<std::uint32_t>(task.arguments[0]);
  const auto old = interval_setting(*task.process, IntervalKind::kReal);
  const std::int64_t error =
      set_interval(*task.process, IntervalKind::kReal, seconds * kNanosecondsPerSecond, 0);
  if (error != 0) {
    return error;
  }
  // Rounded, but never to zero.
  const std::uint64_t left = (old.left + kNanosecondsPerSecond / 2) / kNanosecondsPerSecond;
  return static_cast<std::int64_t>(old.left != 0 && left == 0 ? 1 : left);
}

// struct sigevent, as far as it is used.
struct EventArgument {
  std::uint64_t value;
  std::int32_t signal;
  std::int32_t kind;
  std::int32_t task;
  std::int32_t unused[11];
};
static_assert(sizeof(EventArgument) == 64);

// EINVAL.
Result<TimerEvent> check_event(Task& task, const EventArgument& given) {
  constexpr std::int32_t kSignal = 0;
  constexpr std::int32_t kNone = 1;
  constexpr std::int32_t kThread = 2;
  constexpr std::int32_t kThreadId = 4;
  TimerEvent event;
  event.has_value = true;
  event.value = given.value;
  if (given.kind == kNone) {
    return event;
  }
  if ((given.kind & kThreadId) != 0) {
    const Task* receiver = find_task(static_cast<std::uint32_t>(given.task));
    if (receiver == nullptr || receiver->process != task.process) {
      return fail(EINVAL);
    }
    event.task = receiver->id;
  }
  const std::int32_t kind = given.kind & ~kThreadId;
  if ((kind != kSignal && kind != kThread) || given.signal <= 0 ||
      given.signal > static_cast<std::int32_t>(Process::kSignals)) {
    return fail(EINVAL);
  }
  event.signal = static_cast<std::uint32_t>(given.signal);
  return event;
}

std::int64_t call_timer_create(Task& task) {
  AddressSpace& space = task.process->space();
  TimerEvent event;
  event.signal = kSignalAlarm;
  if (task.arguments[1] != 0) {
    const auto given = space.read_value<EventArgument>(task.arguments[1]);
    if (!given) {
      return -EFAULT;
    }
    const auto checked = check_event(task, *given);
    if (!checked) {
      return -checked.error().number;
    }
    event = *checked;
  }
  const auto clock = timer_clock(task, static_cast<std::uint32_t>(task.arguments[0]));
  if (!clock) {
    return -clock.error().number;
  }
  ProcessTimers* timers = timers_of(*task.process);
  if (timers == nullptr) {
    return -EAGAIN;
  }
  const std::int64_t id = timers->create(*clock, event);
  if (id >= 0 && !space.write_value(task.arguments[2], static_cast<std::int32_t>(id))) {
    timers->remove(*timers->find(static_cast<std::uint64_t>(id)));
    return -EFAULT;
  }
  return id < 0 ? id : 0;
}

PosixTimer* find_timer(Task& task) {
  return task.process->timers
             ? task.process->timers->find(static_cast<std::uint32_t>(task.arguments[0]))
             : nullptr;
}

IntervalSpec describe(const ProcessTimer::Setting& setting) {
  return {to_time_spec(setting.interval), to_time_spec(setting.left)};
}

std::int64_t call_timer_gettime(Task& task) {
  const PosixTimer* timer = find_timer(task);
  if (timer == nullptr) {
    return -EINVAL;
  }
  return task.process->space().write_value(task.arguments[1], describe(timer->setting())) ? 0
                                                                                          : -EFAULT;
}

std::int64_t call_timer_settime(Task& task) {
  constexpr std::uint64_t kAbsolute = 1;  // TIMER_ABSTIME
  AddressSpace& space = task.process->space();
  if (task.arguments[2] == 0) {
    return -EINVAL;
  }
  const auto given = space.read_value<IntervalSpec>(task.arguments[2]);
  if (!given) {
    return -EFAULT;
  }
  const auto value = to_nanoseconds(given->value.seconds, given->value.nanoseconds);
  const auto interval = to_nanoseconds(given->interval.seconds, given->interval.nanoseconds);
  if (!value || !interval) {
    return -EINVAL;
  }
  PosixTimer* timer = find_timer(task);
  if (timer == nullptr) {
    return -EINVAL;
  }
  const IntervalSpec old = describe(timer->setting());
  const std::uint64_t next =
      (task.arguments[1] & kAbsolute) != 0
          ? *value
          : add_time(read_timer_clock(*task.process, timer->clock()), *value);
  timer->forget();
  timer->start(*value != 0 ? &next : nullptr, *interval);
  return task.arguments[3] == 0 || space.write_value(task.arguments[3], old) ? 0 : -EFAULT;
}

std::int64_t call_timer_getoverrun(Task& task) {
  const PosixTimer* timer = find_timer(task);
  return timer == nullptr ? -EINVAL : std::int64_t{timer->overruns()};
}

std::int64_t call_timer_delete(Task& task) {
  PosixTimer* timer = find_timer(task);
  if (timer == nullptr) {
    return -EINVAL;
  }
  task.process->timers->remove(*timer);
  return 0;
}

constexpr CallEntry kCalls[] = {
    {__NR_alarm, call_alarm},
    {__NR_getitimer, call_getitimer},
    {__NR_setitimer, call_setitimer},
    {__NR_timer_create, call_timer_create},
    {__NR_timer_gettime, call_timer_gettime},
    {__NR_timer_settime, call_timer_settime},
    {__NR_timer_getoverrun, call_timer_getoverrun},
    {__NR_timer_delete, call_timer_delete},
};

}  // namespace

std::span<const CallEntry> timer_calls() {
  return kCalls;
}

}  // namespace linux_server
