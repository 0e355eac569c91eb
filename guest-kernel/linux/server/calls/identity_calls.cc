#include <asm/unistd.h>
#include <linux/capability.h>

#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/process_table.h"

// Calls on users, groups and capabilities.
//
// All threads of a process have the same credentials. Linux keeps them for each thread, but the C
// library has all threads make each of these calls, which changes nothing the second time.
namespace linux_server {
namespace {

std::uint32_t low(std::uint64_t argument) {
  return static_cast<std::uint32_t>(argument);
}
Credentials& own(Task& task) {
  return task.process->credentials;
}

std::int64_t call_getuid(Task& task) {
  return own(task).real_user;
}
std::int64_t call_geteuid(Task& task) {
  return own(task).effective_user;
}
std::int64_t call_getgid(Task& task) {
  return own(task).real_group;
}
std::int64_t call_getegid(Task& task) {
  return own(task).effective_group;
}

std::int64_t give_three(Task& task, const std::array<std::uint32_t, 3>& ids) {
  for (std::size_t index = 0; index < ids.size(); ++index) {
    if (!task.process->space().write_value(task.arguments[index], ids[index])) {
      return -EFAULT;
    }
  }
  return 0;
}
std::int64_t call_getresuid(Task& task) {
  const Credentials& ids = own(task);
  return give_three(task, {ids.real_user, ids.effective_user, ids.saved_user});
}
std::int64_t call_getresgid(Task& task) {
  const Credentials& ids = own(task);
  return give_three(task, {ids.real_group, ids.effective_group, ids.saved_group});
}

// Changes the process's credentials. Who becomes another is not dumpable any more, and a signal
// that was wished for before is not sent.
template <typename Change>
std::int64_t change(Task& task, const Change& apply) {
  Process& process = *task.process;
  const Credentials before = process.credentials;
  const std::int64_t result = apply(process.credentials);
  const Credentials& now = process.credentials;
  if (now.effective_user != before.effective_user || now.user != before.user ||
      now.effective_group != before.effective_group || now.group != before.group) {
    process.dumpable = 0;
    process.parent_death_signal = 0;
  }
  return result;
}

std::int64_t call_setuid(Task& task) {
  return change(task, [&](Credentials& ids) { return set_user(ids, low(task.arguments[0])); });
}
std::int64_t call_setgid(Task& task) {
  return change(task, [&](Credentials& ids) { return set_group(ids, low(task.arguments[0])); });
}
std::int64_t call_setreuid(Task& task) {
  return change(task, [&](Credentials& ids) {
    return set_real_and_effective_user(ids, low(task.arguments[0]), low(task.arguments[1]));
  });
}
std::int64_t call_setregid(Task& task) {
  return change(task, [&](Credentials& ids) {
    return set_real_and_effective_group(ids, low(task.arguments[0]), low(task.arguments[1]));
  });
}
std::int64_t call_setresuid(Task& task) {
  return change(task, [&](Credentials& ids) {
    return set_all_users(ids, low(task.arguments[0]), low(task.arguments[1]),
                         low(task.arguments[2]));
  });
}
std::int64_t call_setresgid(Task& task) {
  return change(task, [&](Credentials& ids) {
    return set_all_groups(ids, low(task.arguments[0]), low(task.arguments[1]),
                          low(task.arguments[2]));
  });
}
std::int64_t call_setfsuid(Task& task) {
  return change(task, [&](Credentials& ids) { return set_file_user(ids, low(task.arguments[0])); });
}
std::int64_t call_setfsgid(Task& task) {
  return change(task,
                [&](Credentials& ids) { return set_file_group(ids, low(task.arguments[0])); });
}

std::int64_t call_getgroups(Task& task) {
  const auto room = static_cast<std::int32_t>(task.arguments[0]);
  const auto groups = own(task).groups();
  if (room < 0) {
    return -EINVAL;
  }
  if (room != 0) {
    if (static_cast<std::size_t>(room) < groups.size()) {
      return -EINVAL;
    }
    if (!groups.empty() && !task.process->space().write(task.arguments[1], std::as_bytes(groups))) {
      return -EFAULT;
    }
  }
  return static_cast<std::int64_t>(groups.size());
}

std::int64_t call_setgroups(Task& task) {
  const std::uint32_t count = low(task.arguments[0]);
  if (!own(task).has(Capability::kSetGroup)) {
    return -EPERM;
  }
  if (count > GroupList::kMaximum) {
    return -EINVAL;
  }
  if (count == 0) {
    own(task).supplementary.reset();
    return 0;
  }
  const Reference<GroupList> list = GroupList::make_room(count);
  if (!list) {
    return -ENOMEM;
  }
  if (!task.process->space().read(task.arguments[1], std::as_writable_bytes(list->room()))) {
    return -EFAULT;
  }
  list->sort();
  own(task).supplementary = list;
  return 0;
}

// struct __user_cap_header_struct
struct CapabilityHeader {
  std::uint32_t version;
  std::int32_t process;
};
// struct __user_cap_data_struct
struct CapabilityData {
  std::uint32_t effective;
  std::uint32_t permitted;
  std::uint32_t inheritable;
};

// How many words of each set the version has; 0: it is unknown, and the header now says which is
// not.
std::size_t words_of(Task& task, CapabilityHeader& header, bool& fault) {
  switch (header.version) {
    case _LINUX_CAPABILITY_VERSION_1:
      return 1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
      return 2;
    default:
      header.version = _LINUX_CAPABILITY_VERSION_3;
      fault = !task.process->space().write_value(task.arguments[0], header.version);
      return 0;
  }
}

std::int64_t call_capget(Task& task) {
  AddressSpace& space = task.process->space();
  auto header = space.read_value<CapabilityHeader>(task.arguments[0]);
  if (!header) {
    return -EFAULT;
  }
  bool fault = false;
  const std::size_t words = words_of(task, *header, fault);
  if (words == 0) {
    // Asking for the version only is no error.
    return fault ? -EFAULT : task.arguments[1] == 0 ? 0 : -EINVAL;
  }
  if (header->process < 0) {
    return -EINVAL;
  }
  const Task* subject =
      header->process == 0 ? &task : find_task(static_cast<std::uint32_t>(header->process));
  if (subject == nullptr) {
    return -ESRCH;
  }
  const Credentials& ids = subject->process->credentials;
  for (std::size_t word = 0; word < words && task.arguments[1] != 0; ++word) {
    const CapabilityData data = {low(ids.effective >> 32 * word), low(ids.permitted >> 32 * word),
                                 low(ids.inheritable >> 32 * word)};
    if (!space.write_value(task.arguments[1] + word * sizeof(data), data)) {
      return -EFAULT;
    }
  }
  return 0;
}

std::int64_t call_capset(Task& task) {
  AddressSpace& space = task.process->space();
  auto header = space.read_value<CapabilityHeader>(task.arguments[0]);
  if (!header) {
    return -EFAULT;
  }
  bool fault = false;
  const std::size_t words = words_of(task, *header, fault);
  if (words == 0) {
    return fault ? -EFAULT : -EINVAL;
  }
  if (header->process != 0 && static_cast<std::uint32_t>(header->process) != task.id) {
    return -EPERM;
  }
  CapabilityRequest wanted;
  for (std::size_t word = 0; word < words; ++word) {
    const auto data =
        space.read_value<CapabilityData>(task.arguments[1] + word * sizeof(CapabilityData));
    if (!data) {
      return -EFAULT;
    }
    wanted.effective |= std::uint64_t{data->effective} << 32 * word;
    wanted.permitted |= std::uint64_t{data->permitted} << 32 * word;
    wanted.inheritable |= std::uint64_t{data->inheritable} << 32 * word;
  }
  return set_capabilities(own(task), wanted);
}

constexpr CallEntry kCalls[] = {
    {__NR_getuid, call_getuid},       {__NR_geteuid, call_geteuid},
    {__NR_getgid, call_getgid},       {__NR_getegid, call_getegid},
    {__NR_getresuid, call_getresuid}, {__NR_getresgid, call_getresgid},
    {__NR_getgroups, call_getgroups}, {__NR_setgroups, call_setgroups},
    {__NR_setuid, call_setuid},       {__NR_setgid, call_setgid},
    {__NR_setreuid, call_setreuid},   {__NR_setregid, call_setregid},
    {__NR_setresuid, call_setresuid}, {__NR_setresgid, call_setresgid},
    {__NR_setfsuid, call_setfsuid},   {__NR_setfsgid, call_setfsgid},
    {__NR_capget, call_capget},       {__NR_capset, call_capset},
};

}  // namespace

std::span<const CallEntry> identity_calls() {
  return kCalls;
}

}  // namespace linux_server
