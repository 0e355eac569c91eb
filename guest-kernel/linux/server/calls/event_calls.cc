#include <asm/fcntl.h>
#include <asm/unistd.h>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/ipc/event_file.h"
#include "guest-kernel/linux/server/ipc/signal_file.h"
#include "guest-kernel/linux/server/ipc/timer_file.h"
#include "guest-kernel/linux/server/time_value.h"

// Events as descriptors: eventfd(2), timerfd_create(2), signalfd(2).
namespace linux_server {
namespace {

constexpr std::uint32_t kFileFlags = O_CLOEXEC | O_NONBLOCK;

// Gives the file, which may be null for lack of memory, a number.
std::int64_t add_file(Task& task, File* file, std::uint32_t flags) {
  const Reference<File> held(file);
  return held ? task.process->descriptors().add(held, (flags & O_CLOEXEC) != 0) : -ENOMEM;
}

std::int64_t make_event(Task& task, std::uint32_t flags) {
  constexpr std::uint32_t kSemaphore = 1;
  if ((flags & ~(kFileFlags | kSemaphore)) != 0) {
    return -EINVAL;
  }
  const auto node = make_event_node("anon_inode:[eventfd]");
  if (!node) {
    return -ENOMEM;
  }
  return add_file(
      task,
      new EventFile(node, O_RDWR | (flags & O_NONBLOCK),
                    static_cast<std::uint32_t>(task.arguments[0]), (flags & kSemaphore) != 0),
      flags);
}
std::int64_t call_eventfd(Task& task) {
  return make_event(task, 0);
}
std::int64_t call_eventfd2(Task& task) {
  return make_event(task, static_cast<std::uint32_t>(task.arguments[1]));
}

std::int64_t call_timerfd_create(Task& task) {
  const auto flags = static_cast<std::uint32_t>(task.arguments[1]);
  bool wall_clock = false;
  if ((flags & ~kFileFlags) != 0) {
    return -EINVAL;
  }
  switch (static_cast<std::int32_t>(task.arguments[0])) {
    case 0:  // CLOCK_REALTIME
    case 8:  // CLOCK_REALTIME_ALARM
      wall_clock = true;
      break;
    case 1:  // CLOCK_MONOTONIC
    case 7:  // CLOCK_BOOTTIME
    case 9:  // CLOCK_BOOTTIME_ALARM
      break;
    default:
      return -EINVAL;
  }
  const auto node = make_event_node("anon_inode:[timerfd]");
  return node
             ? add_file(task, new TimerFile(node, O_RDWR | (flags & O_NONBLOCK), wall_clock), flags)
             : -ENOMEM;
}

struct TimerSpec {
  TimeSpec interval;
  TimeSpec value;
};

TimerSpec to_spec(const TimerFile::Setting& setting) {
  return {to_time_spec(setting.interval), to_time_spec(setting.left)};
}

Result<Reference<File>> find_timer(Task& task) {
  const Reference<File> file =
      task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0]));
  if (!file) {
    return fail(EBADF);
  }
  return file->kind() == FileKind::kTimer ? Result<Reference<File>>(file) : fail(EINVAL);
}

std::int64_t call_timerfd_settime(Task& task) {
  constexpr std::uint32_t kAbsolute = 1;
  constexpr std::uint32_t kCancelOnSet = 2;
  const auto flags = static_cast<std::uint32_t>(task.arguments[1]);
  AddressSpace& space = task.process->space();
  const auto spec = space.read_value<TimerSpec>(task.arguments[2]);
  if (!spec) {
    return -EFAULT;
  }
  const auto interval = to_nanoseconds(spec->interval.seconds, spec->interval.nanoseconds);
  const auto value = to_nanoseconds(spec->value.seconds, spec->value.nanoseconds);
  if ((flags & ~(kAbsolute | kCancelOnSet)) != 0 || !interval || !value) {
    return -EINVAL;
  }
  const auto file = find_timer(task);
  if (!file) {
    return -file.error().number;
  }
  auto& timer = static_cast<TimerFile&>(**file);
  const TimerSpec old = to_spec(timer.setting());
  const std::uint64_t origin =
      timer.uses_wall_clock() ? guest::time_page().realtime_offset : std::uint64_t{0};
  const std::uint64_t deadline = (flags & kAbsolute) == 0 ? add_time(guest::monotonic_ns(), *value)
                                                          : (*value > origin ? *value - origin : 0);
  timer.start(*value != 0 ? &deadline : nullptr, *interval);
  return task.arguments[3] == 0 || space.write_value(task.arguments[3], old) ? 0 : -EFAULT;
}

std::int64_t call_timerfd_gettime(Task& task) {
  const auto file = find_timer(task);
  if (!file) {
    return -file.error().number;
  }
  const TimerSpec spec = to_spec(static_cast<TimerFile&>(**file).setting());
  return task.process->space().write_value(task.arguments[1], spec) ? 0 : -EFAULT;
}

std::int64_t make_signal_file(Task& task, std::uint32_t flags) {
  constexpr std::uint64_t kNever = std::uint64_t{1} << (9 - 1) | std::uint64_t{1} << (19 - 1);
  if (task.arguments[2] != sizeof(std::uint64_t) || (flags & ~kFileFlags) != 0) {
    return -EINVAL;
  }
  const auto given = task.process->space().read_value<std::uint64_t>(task.arguments[1]);
  if (!given) {
    return -EFAULT;
  }
  const std::uint64_t mask = *given & ~kNever;
  const auto number = static_cast<std::int32_t>(task.arguments[0]);
  if (number == -1) {
    const auto node = make_event_node("anon_inode:[signalfd]");
    return node ? add_file(task, new SignalFile(node, O_RDWR | (flags & O_NONBLOCK), mask), flags)
                : -ENOMEM;
  }
  const Reference<File> file = task.process->descriptors().find(static_cast<std::uint32_t>(number));
  if (!file) {
    return -EBADF;
  }
  if (file->kind() != FileKind::kSignal) {
    return -EINVAL;
  }
  static_cast<SignalFile&>(*file).set_mask(mask);
  return number;
}
std::int64_t call_signalfd(Task& task) {
  return make_signal_file(task, 0);
}
std::int64_t call_signalfd4(Task& task) {
  return make_signal_file(task, static_cast<std::uint32_t>(task.arguments[3]));
}

constexpr CallEntry kCalls[] = {
    {__NR_eventfd, call_eventfd},
    {__NR_eventfd2, call_eventfd2},
    {__NR_timerfd_create, call_timerfd_create},
    {__NR_timerfd_settime, call_timerfd_settime},
    {__NR_timerfd_gettime, call_timerfd_gettime},
    {__NR_signalfd, call_signalfd},
    {__NR_signalfd4, call_signalfd4},
};

}  // namespace

std::span<const CallEntry> event_calls() {
  return kCalls;
}

}  // namespace linux_server
