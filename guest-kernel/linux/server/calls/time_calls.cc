#include <asm/unistd.h>

#include <algorithm>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/time_value.h"
#include "guest-kernel/linux/shim/clocks.h"

// Clocks that the shim does not answer, and sleeping.
namespace linux_server {
namespace {

bool is_wall_clock(std::uint64_t clock) {
  return clock == shim::kClockRealtime || clock == shim::kClockRealtimeCoarse ||
         clock == shim::kClockTai;
}

bool is_clock(std::uint64_t clock) {
  switch (clock) {
    case shim::kClockRealtime:
    case shim::kClockMonotonic:
    case shim::kClockProcessTime:
    case shim::kClockThreadTime:
    case shim::kClockMonotonicRaw:
    case shim::kClockRealtimeCoarse:
    case shim::kClockMonotonicCoarse:
    case shim::kClockBootTime:
    case shim::kClockTai:
      return true;
    default:
      return false;
  }
}

std::uint64_t read_clock(const Process& process, std::uint64_t clock) {
  if (is_wall_clock(clock)) {
    return guest::realtime_ns();
  }
  if (clock == shim::kClockProcessTime || clock == shim::kClockThreadTime) {
    return guest::monotonic_ns() - process.started_ns;
  }
  return guest::monotonic_ns();
}

std::int64_t call_clock_gettime(Task& task) {
  const std::uint64_t clock = static_cast<std::uint32_t>(task.arguments[0]);
  if (!is_clock(clock)) {
    return -EINVAL;
  }
  return task.process->space().write_value(task.arguments[1],
                                           to_time_spec(read_clock(*task.process, clock)))
             ? 0
             : -EFAULT;
}

std::int64_t call_clock_getres(Task& task) {
  if (!is_clock(static_cast<std::uint32_t>(task.arguments[0]))) {
    return -EINVAL;
  }
  const TimeSpec resolution = {0, 1};
  return task.arguments[1] == 0 || task.process->space().write_value(task.arguments[1], resolution)
             ? 0
             : -EFAULT;
}

std::int64_t call_clock_settime(Task& /*task*/) {
  return -EPERM;
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

std::int64_t call_nanosleep(Task& task) {
  const auto interval = read_time_spec(task.process->space(), task.arguments[0]);
  if (!interval) {
    return -interval.error().number;
  }
  return sleep_until(task, add_time(guest::monotonic_ns(), *interval), task.arguments[1]);
}

std::int64_t call_clock_nanosleep(Task& task) {
  constexpr std::uint64_t kAbsolute = 1;  // TIMER_ABSTIME
  const std::uint64_t clock = static_cast<std::uint32_t>(task.arguments[0]);
  if (!is_clock(clock) || clock == shim::kClockThreadTime) {
    return -EINVAL;
  }
  const auto time = read_time_spec(task.process->space(), task.arguments[2]);
  if (!time) {
    return -time.error().number;
  }
  if ((task.arguments[1] & kAbsolute) == 0) {
    return sleep_until(task, add_time(guest::monotonic_ns(), *time), task.arguments[3]);
  }
  const std::uint64_t origin =
      is_wall_clock(clock) ? guest::time_page().realtime_offset : std::uint64_t{0};
  return sleep_until(task, *time > origin ? *time - origin : 0, 0);
}

constexpr CallEntry kCalls[] = {
    {__NR_clock_gettime, call_clock_gettime}, {__NR_clock_getres, call_clock_getres},
    {__NR_clock_settime, call_clock_settime}, {__NR_settimeofday, call_clock_settime},
    {__NR_nanosleep, call_nanosleep},         {__NR_clock_nanosleep, call_clock_nanosleep},
};

}  // namespace

std::span<const CallEntry> time_calls() {
  return kCalls;
}

}  // namespace linux_server
