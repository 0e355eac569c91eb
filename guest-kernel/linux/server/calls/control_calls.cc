#include <asm/prctl.h>
#include <asm/unistd.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include <algorithm>
#include <array>
#include <utility>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/process_table.h"

// prctl(2), arch_prctl(2), personality(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kUsualSlack = 50'000;

bool has_no_more_arguments(const Task& task, std::size_t first) {
  for (std::size_t index = first; index < 5; ++index) {
    if (task.arguments[index] != 0) {
      return false;
    }
  }
  return true;
}

std::int64_t set_name(Task& task) {
  std::array<char, 16> name = {};
  const auto text = task.process->space().read_string(task.arguments[1], name);
  if (!text && text.error().number != ENAMETOOLONG) {
    return -EFAULT;
  }
  task.process->set_name(text ? *text : std::string_view(name.data(), name.size() - 1));
  return 0;
}

std::int64_t get_name(Task& task) {
  std::array<char, 16> name = {};
  const std::string_view text = task.process->name();
  std::copy(text.begin(), text.end(), name.begin());
  return task.process->space().write_value(task.arguments[1], name) ? 0 : -EFAULT;
}

std::int64_t set_death_signal(Task& task) {
  if (task.arguments[1] > Process::kSignals) {
    return -EINVAL;
  }
  task.process->parent_death_signal = static_cast<std::uint32_t>(task.arguments[1]);
  return 0;
}

std::int64_t set_dumpable(Task& task) {
  if (task.arguments[1] > 1) {
    return -EINVAL;
  }
  task.process->dumpable = static_cast<std::uint32_t>(task.arguments[1]);
  return 0;
}

std::int64_t set_keep_capabilities(Credentials& credentials, std::uint64_t value) {
  constexpr std::uint32_t kLocked = kKeepCapabilities << 1;
  if (value > 1) {
    return -EINVAL;
  }
  if ((credentials.secure_bits & kLocked) != 0) {
    return -EPERM;
  }
  credentials.secure_bits = (credentials.secure_bits & ~std::uint32_t{kKeepCapabilities}) |
                            (value != 0 ? std::uint32_t{kKeepCapabilities} : 0);
  return 0;
}

std::int64_t set_secure_bits(Credentials& credentials, std::uint64_t wanted) {
  constexpr std::uint32_t kLocks = 0xaa;
  const std::uint32_t old = credentials.secure_bits;
  const std::uint32_t locked = (old & kLocks) >> 1;
  if ((locked & (old ^ wanted)) != 0 || (old & kLocks & ~wanted) != 0 ||
      (wanted & ~std::uint64_t{kKnownSecureBits}) != 0 ||
      !credentials.has(Capability::kSetCapabilities)) {
    return -EPERM;
  }
  credentials.secure_bits = static_cast<std::uint32_t>(wanted);
  return 0;
}

std::int64_t change_bounding_set(Credentials& credentials, bool drop, std::uint64_t number) {
  if (number > kLastCapability) {
    return -EINVAL;
  }
  const CapabilitySet bit = CapabilitySet{1} << number;
  if (!drop) {
    return (credentials.bounding & bit) != 0 ? 1 : 0;
  }
  if (!credentials.has(Capability::kSetCapabilities)) {
    return -EPERM;
  }
  credentials.bounding &= ~bit;
  return 0;
}

std::int64_t change_ambient_set(Task& task) {
  Credentials& credentials = task.process->credentials;
  const std::uint64_t number = task.arguments[2];
  if (task.arguments[1] == PR_CAP_AMBIENT_CLEAR_ALL) {
    if (!has_no_more_arguments(task, 2)) {
      return -EINVAL;
    }
    credentials.ambient = 0;
    return 0;
  }
  if (number > kLastCapability || !has_no_more_arguments(task, 3)) {
    return -EINVAL;
  }
  const CapabilitySet bit = CapabilitySet{1} << number;
  switch (task.arguments[1]) {
    case PR_CAP_AMBIENT_IS_SET:
      return (credentials.ambient & bit) != 0 ? 1 : 0;
    case PR_CAP_AMBIENT_RAISE:
      if ((credentials.permitted & credentials.inheritable & bit) == 0 ||
          (credentials.secure_bits & kNoAmbientRaise) != 0) {
        return -EPERM;
      }
      credentials.ambient |= bit;
      return 0;
    case PR_CAP_AMBIENT_LOWER:
      credentials.ambient &= ~bit;
      return 0;
    default:
      return -EINVAL;
  }
}

std::int64_t set_no_new_privileges(Task& task) {
  if (task.arguments[1] != 1 || !has_no_more_arguments(task, 2)) {
    return -EINVAL;
  }
  task.process->credentials.no_new_privileges = true;
  return 0;
}

std::int64_t set_timer_slack(Task& task) {
  const auto wanted = static_cast<std::int64_t>(task.arguments[1]);
  task.scheduling.timer_slack = wanted <= 0 ? kUsualSlack : static_cast<std::uint64_t>(wanted);
  return 0;
}

std::int64_t give(Task& task, std::uint32_t value) {
  return task.process->space().write_value(task.arguments[1], value) ? 0 : -EFAULT;
}

std::int64_t call_prctl(Task& task) {
  Process& process = *task.process;
  Credentials& credentials = process.credentials;
  switch (static_cast<std::uint32_t>(task.arguments[0])) {
    case PR_SET_NAME:
      return set_name(task);
    case PR_GET_NAME:
      return get_name(task);
    case PR_SET_PDEATHSIG:
      return set_death_signal(task);
    case PR_GET_PDEATHSIG:
      return give(task, process.parent_death_signal);
    case PR_SET_DUMPABLE:
      return set_dumpable(task);
    case PR_GET_DUMPABLE:
      return process.dumpable;
    case PR_SET_KEEPCAPS:
      return set_keep_capabilities(credentials, task.arguments[1]);
    case PR_GET_KEEPCAPS:
      return (credentials.secure_bits & kKeepCapabilities) != 0 ? 1 : 0;
    case PR_SET_SECUREBITS:
      return set_secure_bits(credentials, task.arguments[1]);
    case PR_GET_SECUREBITS:
      return credentials.secure_bits;
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
      return change_bounding_set(credentials, task.arguments[0] == PR_CAPBSET_DROP,
                                 task.arguments[1]);
    case PR_CAP_AMBIENT:
      return change_ambient_set(task);
    case PR_SET_NO_NEW_PRIVS:
      return set_no_new_privileges(task);
    case PR_GET_NO_NEW_PRIVS:
      return !has_no_more_arguments(task, 1) ? -EINVAL : credentials.no_new_privileges ? 1 : 0;
    case PR_SET_CHILD_SUBREAPER:
      process.reaps_orphans = task.arguments[1] != 0;
      return 0;
    case PR_GET_CHILD_SUBREAPER:
      return give(task, process.reaps_orphans ? 1 : 0);
    case PR_SET_TIMERSLACK:
      return set_timer_slack(task);
    case PR_GET_TIMERSLACK:
      return static_cast<std::int64_t>(task.scheduling.timer_slack);
    case PR_GET_SECCOMP:
      return 0;
    case PR_GET_TIMING:
      return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
      return task.arguments[1] == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_GET_THP_DISABLE:
    case PR_SET_THP_DISABLE:
      return has_no_more_arguments(task, task.arguments[0] == PR_SET_THP_DISABLE ? 2 : 1) ? 0
                                                                                          : -EINVAL;
    case PR_MCE_KILL_GET:
      return PR_MCE_KILL_DEFAULT;
    default:
      return -EINVAL;
  }
}

// FS is the shim's business; GS is its own, so a program cannot have it.
std::int64_t call_arch_prctl(Task& task) {
  switch (static_cast<std::uint32_t>(task.arguments[0])) {
    case ARCH_SET_GS:
      return -EPERM;
    case ARCH_GET_GS:
      return task.process->space().write_value(task.arguments[1], std::uint64_t{0}) ? 0 : -EFAULT;
    case ARCH_GET_CPUID:
      return 1;
    default:
      return -EINVAL;
  }
}

// What programs ask for is kept; only Linux's own way is there.
std::int64_t call_personality(Task& task) {
  constexpr std::uint32_t kQuery = 0xffff'ffff;
  const std::uint32_t old = task.process->personality;
  if (static_cast<std::uint32_t>(task.arguments[0]) != kQuery) {
    task.process->personality = static_cast<std::uint32_t>(task.arguments[0]);
  }
  return old;
}

// unshare(2): the descriptors can be made the caller's own. There are no namespaces.
std::int64_t call_unshare(Task& task) {
  constexpr std::uint64_t kOfThreads = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  constexpr std::uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                        CLONE_NEWTIME;
  Process& process = *task.process;
  const std::uint64_t flags = task.arguments[0];
  if ((flags & ~(kOfThreads | kNamespaces | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM)) != 0 ||
      ((flags & kOfThreads) != 0 && process.task_count() > 1) ||
      ((flags & CLONE_FS) != 0 && process.places()->owners() > 1)) {
    return -EINVAL;
  }
  if ((flags & kNamespaces) != 0) {
    return -EPERM;
  }
  if ((flags & CLONE_FILES) != 0 && process.descriptor_reference()->owners() > 1) {
    auto copy = process.descriptors().copy();
    if (!copy) {
      return -ENOMEM;
    }
    process.set_descriptors(std::move(copy));
  }
  return 0;
}

std::int64_t call_setns(Task& task) {
  return task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0])) ? -EINVAL
                                                                                         : -EBADF;
}

// I/O ports are never a program's.
std::int64_t call_ioperm(Task& task) {
  constexpr std::uint64_t kPorts = 65536;
  const std::uint64_t end = task.arguments[0] + task.arguments[1];
  return end <= task.arguments[0] || end > kPorts ? -EINVAL : -EPERM;
}
std::int64_t call_iopl(Task& task) {
  return static_cast<std::uint32_t>(task.arguments[0]) > 3    ? -EINVAL
         : static_cast<std::uint32_t>(task.arguments[0]) == 0 ? 0
                                                              : -EPERM;
}

// A call that a signal interrupts is made again by the shim, not by this.
std::int64_t call_restart(Task& /*task*/) {
  return -EINTR;
}

constexpr CallEntry kCalls[] = {
    {__NR_prctl, call_prctl},
    {__NR_arch_prctl, call_arch_prctl},
    {__NR_personality, call_personality},
    {__NR_unshare, call_unshare},
    {__NR_setns, call_setns},
    {__NR_ioperm, call_ioperm},
    {__NR_iopl, call_iopl},
    {__NR_restart_syscall, call_restart},
};

}  // namespace

std::span<const CallEntry> control_calls() {
  return kCalls;
}

}  // namespace linux_server
