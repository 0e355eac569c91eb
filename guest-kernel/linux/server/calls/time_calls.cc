#include <asm/unistd.h>

#include <algorithm>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/clock_ids.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/time_value.h"
#include "guest-kernel/linux/shim/clocks.h"

// Clocks that the shim does not answer, and sleeping.
namespace linux_server {
namespace {

using Kind = TimerClock::Kind;

// A clock of processor time: the complement of the process's or thread's number in the upper bits.
Result<TimerClock> find_processor_clock(const Task& task, std::uint32_t number) {
  constexpr std::uint32_t kOfThread = 4;
  constexpr std::uint32_t kKindMask = 3;
  const std::uint32_t id = ~static_cast<std::uint32_t>(static_cast<std::int32_t>(number) >> 3);
  const bool of_thread = (number & kOfThread) != 0;
  const std::uint32_t kind = number & kKindMask;  // PROF, VIRT, SCHED
  if (kind == 3) {
    return fail(EINVAL);
  }
  TimerClock clock;
  clock.kind = kind == 1 ? Kind::kUsedByProgram : Kind::kUsed;
  if (id == 0) {
    clock.task = of_thread ? task.id : 0;
    return clock;
  }
  const Task* subject = find_task(id);
  if (subject == nullptr || (of_thread && subject->process != task.process)) {
    return fail(EINVAL);
  }
  if (of_thread) {
    clock.task = subject->id;
    return clock;
  }
  if (subject->process->id() != id) {
    return fail(EINVAL);
  }
  clock.process = subject->process == task.process ? 0 : id;
  return clock;
}

std::int64_t call_clock_gettime(Task& task) {
  const auto clock = find_clock(task, static_cast<std::uint32_t>(task.arguments[0]));
  if (!clock) {
    return -clock.error().number;
  }
  return task.process->space().write_value(task.arguments[1],
                                           to_time_spec(read_timer_clock(*task.process, *clock)))
             ? 0
             : -EFAULT;
}

std::int64_t call_clock_getres(Task& task) {
  const auto number = static_cast<std::uint32_t>(task.arguments[0]);
  if (!find_clock(task, number)) {
    return -EINVAL;
  }
  constexpr std::int64_t kCoarse = 4'000'000;
  const bool coarse = number == shim::kClockRealtimeCoarse || number == shim::kClockMonotonicCoarse;
  const TimeSpec resolution = {0, coarse ? kCoarse : 1};
  return task.arguments[1] == 0 || task.process->space().write_value(task.arguments[1], resolution)
             ? 0
             : -EFAULT;
}

// The clocks of all programs are read from one page, which cannot be changed.
std::int64_t call_clock_settime(Task& task) {
  const auto time = read_time_spec(task.process->space(), task.arguments[1]);
  if (!time) {
    return -time.error().number;
  }
  return static_cast<std::uint32_t>(task.arguments[0]) == shim::kClockRealtime ? -EPERM : -EINVAL;
}

std::int64_t call_settimeofday(Task& task) {
  if (task.arguments[0] == 0) {
    return task.process->credentials.has(Capability::kSetTime) ? 0 : -EPERM;
  }
  const auto time = task.process->space().read_value<TimeValue>(task.arguments[0]);
  if (!time) {
    return -EFAULT;
  }
  return time->seconds < 0 || time->microseconds < 0 || time->microseconds >= 1'000'000 ? -EINVAL
                                                                                        : -EPERM;
}

// Waits until task.deadline, which the first time of the call sets. `rest`: where the program wants
// to know how much of the time was left when a signal came; 0: nowhere.
std::int64_t sleep_until(Task& task, std::uint64_t deadline, std::uint64_t rest) {
  if (!task.resumed) {
    task.deadline = deadline;
  }
  if (task.is_due()) {
    return 0;
  }
  if (!task.interrupted) {
    return task.wait_for_deadline();
  }
  const std::uint64_t left = task.deadline - std::min(task.deadline, guest::monotonic_ns());
  return rest == 0 || task.process->space().write_value(rest, to_time_spec(left)) ? -EINTR
                                                                                  : -EFAULT;
}

// Until the process has used so much time. It is looked at again when that could be so at the
// earliest.
std::int64_t sleep_until_used(Task& task, const TimerClock& clock, std::uint64_t wanted) {
  constexpr std::uint64_t kLeastWait = 1'000'000;
  if (!task.resumed) {
    task.progress = static_cast<std::int64_t>(wanted);
  }
  const auto until = static_cast<std::uint64_t>(task.progress);
  const std::uint64_t now = read_timer_clock(*task.process, clock);
  if (now >= until) {
    return 0;
  }
  if (task.interrupted) {
    return -EINTR;
  }
  const std::uint32_t running = std::max<std::uint32_t>(running_tasks(*task.process), 1);
  task.deadline = add_time(guest::monotonic_ns(), std::max((until - now) / running, kLeastWait));
  return task.wait_for_deadline();
}

std::int64_t call_nanosleep(Task& task) {
  const auto interval = read_time_spec(task.process->space(), task.arguments[0]);
  if (!interval) {
    return -interval.error().number;
  }
  return sleep_until(task, add_time(guest::monotonic_ns(), *interval), task.arguments[1]);
}

std::int64_t call_clock_nanosleep(Task& task) {
  constexpr std::uint64_t kAbsolute = 1;  // TIMER_ABSTIME
  const auto number = static_cast<std::uint32_t>(task.arguments[0]);
  const auto clock = find_clock(task, number);
  if (clock && number == shim::kClockThreadTime) {
    return -EOPNOTSUPP;
  }
  if (!clock || clock->task != 0) {
    return -EINVAL;
  }
  if (number == shim::kClockMonotonicRaw || number == shim::kClockMonotonicCoarse ||
      number == shim::kClockRealtimeCoarse) {
    return -EOPNOTSUPP;
  }
  const auto time = read_time_spec(task.process->space(), task.arguments[2]);
  if (!time) {
    return -time.error().number;
  }
  const bool absolute = (task.arguments[1] & kAbsolute) != 0;
  if (clock->is_of_processor()) {
    const std::uint64_t base = absolute ? 0 : read_timer_clock(*task.process, *clock);
    return sleep_until_used(task, *clock, add_time(base, *time));
  }
  if (!absolute) {
    return sleep_until(task, add_time(guest::monotonic_ns(), *time), task.arguments[3]);
  }
  const std::uint64_t origin =
      clock->kind == Kind::kWall ? guest::time_page().realtime_offset : std::uint64_t{0};
  return sleep_until(task, *time > origin ? *time - origin : 0, 0);
}

constexpr CallEntry kCalls[] = {
    {__NR_clock_gettime, call_clock_gettime}, {__NR_clock_getres, call_clock_getres},
    {__NR_clock_settime, call_clock_settime}, {__NR_settimeofday, call_settimeofday},
    {__NR_nanosleep, call_nanosleep},         {__NR_clock_nanosleep, call_clock_nanosleep},
};

}  // namespace

Result<TimerClock> find_clock(const Task& task, std::uint32_t number) {
  if (static_cast<std::int32_t>(number) < 0) {
    return find_processor_clock(task, number);
  }
  TimerClock clock;
  switch (number) {
    case shim::kClockRealtime:
    case shim::kClockRealtimeCoarse:
    case shim::kClockTai:
      clock.kind = Kind::kWall;
      return clock;
    case shim::kClockMonotonic:
    case shim::kClockMonotonicRaw:
    case shim::kClockMonotonicCoarse:
    case shim::kClockBootTime:
      return clock;
    case shim::kClockProcessTime:
      clock.kind = Kind::kUsed;
      return clock;
    case shim::kClockThreadTime:
      clock.kind = Kind::kUsed;
      clock.task = task.id;
      return clock;
    default:
      return fail(EINVAL);
  }
}

Result<TimerClock> timer_clock(const Task& task, std::uint32_t number) {
  auto clock = find_clock(task, number);
  if (clock && (number == shim::kClockMonotonicRaw || number == shim::kClockMonotonicCoarse ||
                number == shim::kClockRealtimeCoarse)) {
    return fail(EOPNOTSUPP);
  }
  return clock;
}

std::span<const CallEntry> time_calls() {
  return kCalls;
}

}  // namespace linux_server
