#include <asm/prctl.h>
#include <asm/unistd.h>
#include <linux/prctl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/time_value.h"
#include "guest-kernel/linux/shim/limits.h"

// Calls on the process itself: identity, limits, its end.
namespace linux_server {
namespace {

std::int64_t call_getpid(Task& task) {
  return task.process->id();
}
std::int64_t call_gettid(Task& task) {
  return task.id;
}
std::int64_t call_zero(Task& /*task*/) {
  return 0;
}
std::int64_t call_getppid(Task& task) {
  const Process* parent = task.process->parent;
  return parent == nullptr ? 0 : parent->id();
}

// The process that a call names; 0 is the caller's.
Process* find_named(Task& task, std::uint64_t argument) {
  const std::uint64_t id = static_cast<std::uint32_t>(argument);
  return id == 0 ? task.process : find_process(id);
}

std::int64_t call_getpgid(Task& task) {
  const Process* process = find_named(task, task.arguments[0]);
  return process == nullptr ? -ESRCH : std::int64_t{process->group};
}
std::int64_t call_getsid(Task& task) {
  const Process* process = find_named(task, task.arguments[0]);
  return process == nullptr ? -ESRCH : std::int64_t{process->session};
}
std::int64_t call_getpgrp(Task& task) {
  return task.process->group;
}

bool has_group(std::uint32_t group, std::uint32_t session) {
  return std::any_of(all_processes().begin(), all_processes().end(), [=](const Process* each) {
    return each != nullptr && each->group == group && each->session == session;
  });
}

std::int64_t call_setpgid(Task& task) {
  Process* process = find_named(task, task.arguments[0]);
  if (static_cast<std::int32_t>(task.arguments[1]) < 0) {
    return -EINVAL;
  }
  if (process == nullptr || process->state == ProcessState::kEnded ||
      (process != task.process && process->parent != task.process)) {
    return -ESRCH;
  }
  const auto wanted = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint32_t group = wanted == 0 ? process->id() : wanted;
  if (process->session != task.process->session || process->session == process->id()) {
    return -EPERM;
  }
  if (process != task.process && process->has_called_exec) {
    return -EACCES;
  }
  if (group != process->id() && !has_group(group, task.process->session)) {
    return -EPERM;
  }
  process->group = group;
  return 0;
}

std::int64_t call_setsid(Task& task) {
  Process& process = *task.process;
  const bool leads = std::any_of(
      all_processes().begin(), all_processes().end(),
      [&process](const Process* each) { return each != nullptr && each->group == process.id(); });
  if (leads) {
    return -EPERM;
  }
  process.group = process.session = process.id();
  return process.id();
}

std::int64_t give_three_ids(Task& task) {
  const std::uint32_t root = 0;
  for (std::size_t index = 0; index < 3; ++index) {
    if (!task.process->space().write_value(task.arguments[index], root)) {
      return -EFAULT;
    }
  }
  return 0;
}
std::int64_t call_getgroups(Task& task) {
  return static_cast<std::int32_t>(task.arguments[0]) < 0 ? -EINVAL : 0;
}
// Root may become anybody; there is nobody else here.
std::int64_t call_set_id(Task& task) {
  return static_cast<std::uint32_t>(task.arguments[0]) == 0 ||
                 static_cast<std::uint32_t>(task.arguments[0]) == ~std::uint32_t{0}
             ? 0
             : -EPERM;
}

// struct rusage
struct ResourceUsage {
  TimeValue user_time;
  TimeValue system_time;
  std::int64_t resident_maximum;  // KiB
  std::int64_t unused[3];
  std::int64_t minor_faults;
  std::int64_t others[9];
};
static_assert(sizeof(ResourceUsage) == 144);

using shim::Limit;
using shim::limit_of;

std::int64_t call_getrlimit(Task& task) {
  if (task.arguments[0] >= shim::kLimitCount) {
    return -EINVAL;
  }
  return task.process->space().write_value(task.arguments[1], limit_of(task.arguments[0]))
             ? 0
             : -EFAULT;
}

// Limits are fixed: setting one to less is accepted and changes nothing, more is refused.
std::int64_t set_limit(Task& task, std::uint64_t resource, std::uint64_t address) {
  const auto wanted = task.process->space().read_value<Limit>(address);
  if (!wanted) {
    return -EFAULT;
  }
  if (wanted->current > wanted->maximum) {
    return -EINVAL;
  }
  return wanted->maximum > limit_of(resource).maximum ? -EPERM : 0;
}
std::int64_t call_setrlimit(Task& task) {
  return task.arguments[0] >= shim::kLimitCount
             ? -EINVAL
             : set_limit(task, task.arguments[0], task.arguments[1]);
}
std::int64_t call_prlimit(Task& task) {
  const std::uint64_t id = static_cast<std::uint32_t>(task.arguments[0]);
  if (task.arguments[1] >= shim::kLimitCount) {
    return -EINVAL;
  }
  if (id != 0 && id != task.process->id()) {
    return -ESRCH;
  }
  if (task.arguments[2] != 0) {
    if (const std::int64_t error = set_limit(task, task.arguments[1], task.arguments[2]);
        error != 0) {
      return error;
    }
  }
  if (task.arguments[3] != 0 &&
      !task.process->space().write_value(task.arguments[3], limit_of(task.arguments[1]))) {
    return -EFAULT;
  }
  return 0;
}

std::uint64_t elapsed_ns(const Process& process) {
  return guest::monotonic_ns() - process.started_ns;
}

std::int64_t call_getrusage(Task& task) {
  constexpr std::int32_t kChildren = -1;
  const auto who = static_cast<std::int32_t>(task.arguments[0]);
  if (who != 0 && who != kChildren && who != 1) {
    return -EINVAL;
  }
  ResourceUsage usage = {};
  if (who != kChildren) {
    // Time is not accounted per thread yet: all since the start counts as the program's own.
    const std::uint64_t elapsed = elapsed_ns(*task.process);
    usage.user_time = {static_cast<std::int64_t>(elapsed / kNanosecondsPerSecond),
                       static_cast<std::int64_t>(elapsed % kNanosecondsPerSecond / 1000)};
    usage.resident_maximum = static_cast<std::int64_t>(task.process->space().resident() / 1024);
    usage.minor_faults = static_cast<std::int64_t>(task.process->page_faults);
  }
  return task.process->space().write_value(task.arguments[1], usage) ? 0 : -EFAULT;
}

std::int64_t call_times(Task& task) {
  constexpr std::uint64_t kTick = kNanosecondsPerSecond / 100;
  const std::array<std::uint64_t, 4> times = {elapsed_ns(*task.process) / kTick, 0, 0, 0};
  if (task.arguments[0] != 0 && !task.process->space().write_value(task.arguments[0], times)) {
    return -EFAULT;
  }
  return static_cast<std::int64_t>(guest::monotonic_ns() / kTick);
}

std::int64_t call_prctl(Task& task) {
  AddressSpace& space = task.process->space();
  std::array<char, 16> name = {};
  switch (static_cast<std::uint32_t>(task.arguments[0])) {
    case PR_SET_NAME: {
      const auto text = space.read_string(task.arguments[1], name);
      if (!text && text.error().number != ENAMETOOLONG) {
        return -EFAULT;
      }
      task.process->set_name(text ? *text : std::string_view(name.data(), name.size() - 1));
      return 0;
    }
    case PR_GET_NAME: {
      const std::string_view text = task.process->name();
      std::copy(text.begin(), text.end(), name.begin());
      return space.write_value(task.arguments[1], name) ? 0 : -EFAULT;
    }
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_SET_PDEATHSIG:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_NO_NEW_PRIVS:
      return 0;
    default:
      return -EINVAL;
  }
}

// FS is the shim's business; GS is its own, so a program cannot have it.
std::int64_t call_arch_prctl(Task& task) {
  return static_cast<std::uint32_t>(task.arguments[0]) == ARCH_SET_GS ? -EPERM : -EINVAL;
}

// As the kernel returns it: 20 − nice.
std::int64_t call_getpriority(Task& /*task*/) {
  return 20;
}

std::int64_t call_get_robust_list(Task& /*task*/) {
  return -EPERM;
}

constexpr std::size_t kProcessorSetBytes = 128;

std::int64_t call_sched_getaffinity(Task& task) {
  const std::uint64_t id = static_cast<std::uint32_t>(task.arguments[0]);
  if (id != 0 && id != task.process->id()) {
    return -ESRCH;
  }
  std::array<std::uint64_t, kProcessorSetBytes / 8> set = {};
  const std::uint32_t processors =
      std::clamp<std::uint32_t>(server().info().processor_count, 1, 64);
  set[0] = processors == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << processors) - 1;
  if (task.arguments[1] < sizeof(set[0]) || task.arguments[1] % sizeof(set[0]) != 0) {
    return -EINVAL;
  }
  const std::size_t size = std::min<std::uint64_t>(task.arguments[1], sizeof(set[0]));
  return task.process->space().write(task.arguments[2], std::as_bytes(std::span(set)).first(size))
             ? static_cast<std::int64_t>(size)
             : -EFAULT;
}

std::int64_t call_getcpu(Task& task) {
  const std::uint32_t zero = 0;
  for (std::size_t index = 0; index < 2; ++index) {
    if (task.arguments[index] != 0 &&
        !task.process->space().write_value(task.arguments[index], zero)) {
      return -EFAULT;
    }
  }
  return 0;
}

constexpr CallEntry kCalls[] = {
    {__NR_getpid, call_getpid},
    {__NR_gettid, call_gettid},
    {__NR_getppid, call_getppid},
    {__NR_getuid, call_zero},
    {__NR_geteuid, call_zero},
    {__NR_getgid, call_zero},
    {__NR_getegid, call_zero},
    {__NR_getresuid, give_three_ids},
    {__NR_getresgid, give_three_ids},
    {__NR_getgroups, call_getgroups},
    {__NR_setgroups, call_zero},
    {__NR_setuid, call_set_id},
    {__NR_setgid, call_set_id},
    {__NR_setreuid, call_set_id},
    {__NR_setregid, call_set_id},
    {__NR_setresuid, call_set_id},
    {__NR_setresgid, call_set_id},
    {__NR_getpgid, call_getpgid},
    {__NR_getsid, call_getsid},
    {__NR_getpgrp, call_getpgrp},
    {__NR_setpgid, call_setpgid},
    {__NR_setsid, call_setsid},
    {__NR_getrlimit, call_getrlimit},
    {__NR_setrlimit, call_setrlimit},
    {__NR_prlimit64, call_prlimit},
    {__NR_getrusage, call_getrusage},
    {__NR_times, call_times},
    {__NR_prctl, call_prctl},
    {__NR_arch_prctl, call_arch_prctl},
    {__NR_get_robust_list, call_get_robust_list},
    {__NR_sched_getaffinity, call_sched_getaffinity},
    {__NR_sched_setaffinity, call_zero},
    {__NR_getcpu, call_getcpu},
    {__NR_getpriority, call_getpriority},
    {__NR_setpriority, call_zero},
};

}  // namespace

std::span<const CallEntry> process_calls() {
  return kCalls;
}

}  // namespace linux_server
