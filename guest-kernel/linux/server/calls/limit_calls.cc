#include <asm/unistd.h>

#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/resource_usage.h"

// Calls on resources: limits, and what was used.
namespace linux_server {
namespace {

using shim::Limit;

std::int64_t set_limit(Task& task, Process& process, std::uint64_t resource, const Limit& wanted) {
  const Limit& old = process.limits[resource];
  if (wanted.current > wanted.maximum) {
    return -EINVAL;
  }
  const bool too_many_files = resource == shim::kFileLimit && wanted.maximum > shim::kMaximumFiles;
  if (too_many_files ||
      (wanted.maximum > old.maximum && !task.process->credentials.has(Capability::kResources))) {
    return -EPERM;
  }
  Limit limit = wanted;
  if (resource == shim::kProcessorTimeLimit && limit.current == 0) {
    limit.current = 1;  // none at all cannot be kept to
  }
  process.set_limit(resource, limit);
  if (resource == shim::kProcessorTimeLimit) {
    ProcessTimers* timers = timers_of(process);
    if (timers == nullptr) {
      return -ENOMEM;
    }
    timers->watch_processor_limit();
  }
  return 0;
}

std::int64_t call_getrlimit(Task& task) {
  const std::uint64_t resource = static_cast<std::uint32_t>(task.arguments[0]);
  if (resource >= shim::kLimitCount) {
    return -EINVAL;
  }
  return task.process->space().write_value(task.arguments[1], task.process->limits[resource])
             ? 0
             : -EFAULT;
}

std::int64_t call_setrlimit(Task& task) {
  const std::uint64_t resource = static_cast<std::uint32_t>(task.arguments[0]);
  const auto wanted = task.process->space().read_value<Limit>(task.arguments[1]);
  if (!wanted) {
    return -EFAULT;
  }
  return resource >= shim::kLimitCount ? -EINVAL
                                       : set_limit(task, *task.process, resource, *wanted);
}

// Whether the caller may see and change the limits of another.
bool may_manage(const Task& task, const Process& other) {
  const Credentials& own = task.process->credentials;
  const Credentials& its = other.credentials;
  const bool same = own.real_user == its.effective_user && own.real_user == its.saved_user &&
                    own.real_user == its.real_user && own.real_group == its.effective_group &&
                    own.real_group == its.saved_group && own.real_group == its.real_group;
  return &other == task.process || same || own.has(Capability::kResources);
}

std::int64_t call_prlimit(Task& task) {
  AddressSpace& space = task.process->space();
  const std::uint64_t id = static_cast<std::uint32_t>(task.arguments[0]);
  const std::uint64_t resource = static_cast<std::uint32_t>(task.arguments[1]);
  Limit wanted = {};
  if (task.arguments[2] != 0) {
    const auto given = space.read_value<Limit>(task.arguments[2]);
    if (!given) {
      return -EFAULT;
    }
    wanted = *given;
  }
  const Task* subject = id == 0 ? &task : find_task(id);
  if (subject == nullptr) {
    return -ESRCH;
  }
  Process& process = *subject->process;
  if (!may_manage(task, process)) {
    return -EPERM;
  }
  if (resource >= shim::kLimitCount) {
    return -EINVAL;
  }
  const Limit old = process.limits[resource];
  if (task.arguments[2] != 0) {
    if (const std::int64_t error = set_limit(task, process, resource, wanted); error != 0) {
      return error;
    }
  }
  return task.arguments[3] == 0 || space.write_value(task.arguments[3], old) ? 0 : -EFAULT;
}

std::int64_t call_getrusage(Task& task) {
  ResourceUsage usage = {};
  switch (static_cast<std::int32_t>(task.arguments[0])) {
    case 0:  // RUSAGE_SELF
      usage = usage_of(*task.process);
      break;
    case -1:  // RUSAGE_CHILDREN
      usage = usage_of_children(*task.process);
      break;
    case 1:  // RUSAGE_THREAD
      usage = usage_of(task);
      break;
    default:
      return -EINVAL;
  }
  return task.process->space().write_value(task.arguments[1], usage) ? 0 : -EFAULT;
}

std::int64_t call_times(Task& task) {
  constexpr std::uint64_t kTick = kNanosecondsPerSecond / 100;
  const ProcessorTime own = time_of(*task.process);
  const ProcessorTime& children = task.process->children_time;
  const std::array<std::uint64_t, 4> times = {own.user / kTick, own.system / kTick,
                                              children.user / kTick, children.system / kTick};
  if (task.arguments[0] != 0 && !task.process->space().write_value(task.arguments[0], times)) {
    return -EFAULT;
  }
  return static_cast<std::int64_t>(guest::monotonic_ns() / kTick);
}

constexpr CallEntry kCalls[] = {
    {__NR_getrlimit, call_getrlimit}, {__NR_setrlimit, call_setrlimit},
    {__NR_prlimit64, call_prlimit},   {__NR_getrusage, call_getrusage},
    {__NR_times, call_times},
};

}  // namespace

std::span<const CallEntry> limit_calls() {
  return kCalls;
}

}  // namespace linux_server
