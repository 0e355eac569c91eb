#include <asm/unistd.h>
#include <linux/sched.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/time_value.h"

// Calls on scheduling. What they set is kept and told; all threads run at the same priority, on the
// processors that the server chooses.
namespace linux_server {
namespace {

constexpr std::uint32_t kFirstInFirstOut = 1;
constexpr std::uint32_t kRoundRobin = 2;
constexpr std::uint32_t kDeadline = 6;
constexpr std::int32_t kLeastNice = -20;
constexpr std::int32_t kMostNice = 19;
constexpr std::uint32_t kHighestPriority = 99;

bool is_real_time(std::uint32_t policy) {
  return policy == kFirstInFirstOut || policy == kRoundRobin;
}
bool is_policy(std::uint32_t policy) {
  return policy <= 3 || policy == SCHED_IDLE;
}

// The thread that a call names; 0 is the caller.
Task* find_named(Task& task, std::uint64_t argument) {
  const auto id = static_cast<std::uint32_t>(argument);
  return id == 0 ? &task : find_task(id);
}
bool is_negative(std::uint64_t argument) {
  return static_cast<std::int32_t>(argument) < 0;
}

// Whether the caller may change another's scheduling.
bool may_schedule(const Task& task, const Task& other) {
  const Credentials& own = task.process->credentials;
  const Credentials& its = other.process->credentials;
  return own.effective_user == its.effective_user || own.effective_user == its.real_user ||
         own.has(Capability::kSchedule);
}

// Calls `visit` for all threads that getpriority(2) and its kin name. EINVAL, ESRCH.
template <typename Visit>
std::int64_t for_each_named(Task& task, std::uint64_t kind, std::uint64_t argument,
                            const Visit& visit) {
  const auto id = static_cast<std::uint32_t>(argument);
  if (static_cast<std::uint32_t>(kind) > 2) {
    return -EINVAL;
  }
  bool any = false;
  for (Task* each : all_tasks()) {
    if (each == nullptr) {
      continue;
    }
    const Process& process = *each->process;
    bool named = false;
    switch (static_cast<std::uint32_t>(kind)) {
      case 0:  // PRIO_PROCESS
        named = each->id == (id == 0 ? task.id : id);
        break;
      case 1:  // PRIO_PGRP
        named = process.group == (id == 0 ? task.process->group : id);
        break;
      default:  // PRIO_USER
        named =
            process.credentials.real_user == (id == 0 ? task.process->credentials.real_user : id);
        break;
    }
    if (named) {
      any = true;
      visit(*each);
    }
  }
  return any ? 0 : -ESRCH;
}

// As the kernel returns it: 20 − nice.
std::int64_t call_getpriority(Task& task) {
  std::int64_t highest = 0;
  const std::int64_t error =
      for_each_named(task, task.arguments[0], task.arguments[1], [&](const Task& each) {
        highest = std::max<std::int64_t>(highest, 20 - each.scheduling.niceness);
      });
  return error != 0 ? error : highest;
}

// RLIMIT_NICE says how far one may go without the right to.
bool may_be_so_nice(const Task& task, std::int32_t niceness) {
  return niceness >= task.scheduling.niceness || static_cast<std::uint64_t>(20 - niceness) <=
                                                     task.process->limits[shim::kNiceLimit].current;
}

std::int64_t call_setpriority(Task& task) {
  const std::int32_t niceness =
      std::clamp(static_cast<std::int32_t>(task.arguments[2]), kLeastNice, kMostNice);
  const bool may_raise = task.process->credentials.has(Capability::kSchedule);
  std::int64_t result = 0;
  const std::int64_t error =
      for_each_named(task, task.arguments[0], task.arguments[1], [&](Task& each) {
        if (!may_schedule(task, each)) {
          result = -EPERM;
        } else if (!may_raise && !may_be_so_nice(each, niceness)) {
          result = -EACCES;
        } else {
          each.scheduling.niceness = niceness;
        }
      });
  return error != 0 ? error : result;
}

// Sets the policy of a thread. EINVAL, EPERM.
std::int64_t set_policy(Task& task, Task& subject, std::uint32_t wanted, std::uint32_t priority) {
  const bool resets = (wanted & SCHED_RESET_ON_FORK) != 0;
  const std::uint32_t policy = wanted & ~std::uint32_t{SCHED_RESET_ON_FORK};
  if (!is_policy(policy) || priority > kHighestPriority ||
      is_real_time(policy) != (priority != 0)) {
    return -EINVAL;
  }
  const Credentials& own = task.process->credentials;
  if (!own.has(Capability::kSchedule)) {
    const std::uint64_t most = subject.process->limits[shim::kRealTimePriorityLimit].current;
    if ((is_real_time(policy) && (most == 0 || priority > most)) || !may_schedule(task, subject) ||
        (subject.scheduling.resets_on_fork && !resets)) {
      return -EPERM;
    }
  }
  subject.scheduling.policy = policy;
  subject.scheduling.priority = priority;
  subject.scheduling.resets_on_fork = resets;
  return 0;
}

std::int64_t call_setscheduler(Task& task) {
  if (is_negative(task.arguments[0]) || is_negative(task.arguments[1]) || task.arguments[2] == 0) {
    return -EINVAL;
  }
  const auto priority = task.process->space().read_value<std::uint32_t>(task.arguments[2]);
  if (!priority) {
    return -EFAULT;
  }
  Task* subject = find_named(task, task.arguments[0]);
  return subject == nullptr
             ? -ESRCH
             : set_policy(task, *subject, static_cast<std::uint32_t>(task.arguments[1]), *priority);
}

std::int64_t call_setparam(Task& task) {
  if (is_negative(task.arguments[0]) || task.arguments[1] == 0) {
    return -EINVAL;
  }
  const auto priority = task.process->space().read_value<std::uint32_t>(task.arguments[1]);
  if (!priority) {
    return -EFAULT;
  }
  Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  const Scheduling& old = subject->scheduling;
  return set_policy(task, *subject,
                    old.policy | (old.resets_on_fork ? std::uint32_t{SCHED_RESET_ON_FORK} : 0),
                    *priority);
}

std::int64_t call_getscheduler(Task& task) {
  if (is_negative(task.arguments[0])) {
    return -EINVAL;
  }
  const Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  return subject->scheduling.policy |
         (subject->scheduling.resets_on_fork ? std::int64_t{SCHED_RESET_ON_FORK} : 0);
}

std::int64_t call_getparam(Task& task) {
  if (is_negative(task.arguments[0]) || task.arguments[1] == 0) {
    return -EINVAL;
  }
  const Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  return task.process->space().write_value(task.arguments[1], subject->scheduling.priority)
             ? 0
             : -EFAULT;
}

// struct sched_attr, version 0
struct SchedulingAttributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t niceness;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
};
static_assert(sizeof(SchedulingAttributes) == 48);

std::int64_t call_setattr(Task& task) {
  constexpr std::uint64_t kResetFlag = 1;
  AddressSpace& space = task.process->space();
  if (is_negative(task.arguments[0]) || task.arguments[1] == 0 || task.arguments[2] != 0) {
    return -EINVAL;
  }
  const auto size = space.read_value<std::uint32_t>(task.arguments[1]);
  if (!size) {
    return -EFAULT;
  }
  if (*size != 0 && (*size < sizeof(SchedulingAttributes) || *size > abi::kPageSize)) {
    const std::uint32_t known = sizeof(SchedulingAttributes);
    static_cast<void>(space.write_value(task.arguments[1], known));
    return -E2BIG;
  }
  const auto wanted = space.read_value<SchedulingAttributes>(task.arguments[1]);
  if (!wanted) {
    return -EFAULT;
  }
  if (static_cast<std::int32_t>(wanted->policy) < 0 || wanted->policy == kDeadline) {
    return -EINVAL;
  }
  Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  const std::int32_t niceness = std::clamp(wanted->niceness, kLeastNice, kMostNice);
  if (!is_real_time(wanted->policy) && !may_be_so_nice(*subject, niceness) &&
      !task.process->credentials.has(Capability::kSchedule)) {
    return -EPERM;
  }
  const std::uint32_t reset =
      (wanted->flags & kResetFlag) != 0 ? std::uint32_t{SCHED_RESET_ON_FORK} : 0;
  const std::int64_t error = set_policy(task, *subject, wanted->policy | reset, wanted->priority);
  if (error == 0 && !is_real_time(wanted->policy)) {
    subject->scheduling.niceness = niceness;
  }
  return error;
}

std::int64_t call_getattr(Task& task) {
  const std::uint64_t size = static_cast<std::uint32_t>(task.arguments[2]);
  if (is_negative(task.arguments[0]) || task.arguments[1] == 0 || task.arguments[3] != 0 ||
      size < sizeof(SchedulingAttributes) || size > abi::kPageSize) {
    return -EINVAL;
  }
  const Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  const Scheduling& its = subject->scheduling;
  SchedulingAttributes attributes = {};
  attributes.size = sizeof(attributes);
  attributes.policy = its.policy;
  attributes.flags = its.resets_on_fork ? 1 : 0;
  attributes.priority = its.priority;
  attributes.niceness = is_real_time(its.policy) ? 0 : its.niceness;
  return task.process->space().write_value(task.arguments[1], attributes) ? 0 : -EFAULT;
}

std::int64_t call_get_priority_limit(Task& task) {
  const auto policy = static_cast<std::uint32_t>(task.arguments[0]);
  if (is_real_time(policy)) {
    return task.number == __NR_sched_get_priority_max ? std::int64_t{kHighestPriority} : 1;
  }
  return is_policy(policy) || policy == kDeadline ? 0 : -EINVAL;
}

std::int64_t call_get_interval(Task& task) {
  constexpr std::uint64_t kSlice = 100'000'000;
  if (is_negative(task.arguments[0])) {
    return -EINVAL;
  }
  const Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  const std::uint64_t slice = subject->scheduling.policy == kFirstInFirstOut ? 0
                              : subject->scheduling.policy == kRoundRobin    ? kSlice
                                                                             : 4'000'000;
  return task.process->space().write_value(task.arguments[1], to_time_spec(slice)) ? 0 : -EFAULT;
}

// The processors that there are, as a set; at most 64.
std::uint64_t all_processors() {
  const std::uint32_t count = std::clamp<std::uint32_t>(server().info().processor_count, 1, 64);
  return count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

std::int64_t call_setaffinity(Task& task) {
  std::uint64_t set = 0;
  const std::size_t size =
      std::min<std::uint64_t>(static_cast<std::uint32_t>(task.arguments[1]), sizeof(set));
  if (!task.process->space().read(task.arguments[2],
                                  std::as_writable_bytes(std::span(&set, 1)).first(size))) {
    return -EFAULT;
  }
  Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  if (!may_schedule(task, *subject)) {
    return -EPERM;
  }
  set &= all_processors();
  if (set == 0) {
    return -EINVAL;
  }
  subject->scheduling.processors = set;
  move_to_allowed_processor(*subject);
  return 0;
}

std::int64_t call_getaffinity(Task& task) {
  const std::uint64_t size = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint64_t all = all_processors();
  if (size < sizeof(all) || size % sizeof(all) != 0) {
    return -EINVAL;
  }
  const Task* subject = find_named(task, task.arguments[0]);
  if (subject == nullptr) {
    return -ESRCH;
  }
  const std::uint64_t set = subject->scheduling.processors;
  return task.process->space().write_value(task.arguments[2], set != 0 ? set : all)
             ? static_cast<std::int64_t>(sizeof(all))
             : -EFAULT;
}

std::int64_t call_getcpu(Task& task) {
  const std::array<std::uint32_t, 2> values = {task.processor, 0};
  for (std::size_t index = 0; index < values.size(); ++index) {
    if (task.arguments[index] != 0 &&
        !task.process->space().write_value(task.arguments[index], values[index])) {
      return -EFAULT;
    }
  }
  return 0;
}

// ioprio_set(2): a class and a level. There is nothing to order.
std::int64_t call_ioprio_set(Task& task) {
  constexpr std::uint32_t kClassShift = 13;
  constexpr std::uint32_t kRealTime = 1;
  constexpr std::uint32_t kBestEffort = 2;
  constexpr std::uint32_t kIdle = 3;
  const auto value = static_cast<std::uint32_t>(task.arguments[2]);
  const std::uint32_t level = value & 7;
  switch (value >> kClassShift) {
    case 0:
      if (level != 0) {
        return -EINVAL;
      }
      break;
    case kRealTime:
      if (!task.process->credentials.has(Capability::kSchedule) &&
          !task.process->credentials.has(Capability::kAdministrate)) {
        return -EPERM;
      }
      break;
    case kBestEffort:
    case kIdle:
      break;
    default:
      return -EINVAL;
  }
  const std::uint64_t kind = static_cast<std::uint32_t>(task.arguments[0]) - 1;
  std::int64_t result = 0;
  const std::int64_t error = for_each_named(task, kind, task.arguments[1], [&](Task& each) {
    if (may_schedule(task, each)) {
      each.scheduling.input_output = value;
    } else {
      result = -EPERM;
    }
  });
  return error != 0 ? error : result;
}

std::int64_t call_ioprio_get(Task& task) {
  std::int64_t found = 0;
  const std::uint64_t kind = static_cast<std::uint32_t>(task.arguments[0]) - 1;
  const std::int64_t error = for_each_named(task, kind, task.arguments[1], [&](const Task& each) {
    found = each.scheduling.input_output;
  });
  return error != 0 ? error : found;
}

constexpr CallEntry kCalls[] = {
    {__NR_getpriority, call_getpriority},
    {__NR_setpriority, call_setpriority},
    {__NR_sched_setscheduler, call_setscheduler},
    {__NR_sched_getscheduler, call_getscheduler},
    {__NR_sched_setparam, call_setparam},
    {__NR_sched_getparam, call_getparam},
    {__NR_sched_setattr, call_setattr},
    {__NR_sched_getattr, call_getattr},
    {__NR_sched_get_priority_max, call_get_priority_limit},
    {__NR_sched_get_priority_min, call_get_priority_limit},
    {__NR_sched_rr_get_interval, call_get_interval},
    {__NR_sched_setaffinity, call_setaffinity},
    {__NR_sched_getaffinity, call_getaffinity},
    {__NR_getcpu, call_getcpu},
    {__NR_ioprio_set, call_ioprio_set},
    {__NR_ioprio_get, call_ioprio_get},
};

}  // namespace

std::span<const CallEntry> schedule_calls() {
  return kCalls;
}

}  // namespace linux_server
