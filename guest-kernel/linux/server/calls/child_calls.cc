#include <asm/fcntl.h>
#include <asm/unistd.h>

#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/ipc/process_file.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/resource_usage.h"

// The end of processes, and waiting for it: exit(2), wait4(2), waitid(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kNoHang = 1;              // WNOHANG
constexpr std::uint64_t kStopped = 2;             // WUNTRACED, WSTOPPED
constexpr std::uint64_t kExited = 4;              // WEXITED
constexpr std::uint64_t kContinued = 8;           // WCONTINUED
constexpr std::uint64_t kNoReap = 1 << 24;        // WNOWAIT
constexpr std::uint64_t kNoThread = 0x2000'0000;  // __WNOTHREAD
constexpr std::uint64_t kAll = 0x4000'0000;       // __WALL
constexpr std::uint64_t kClones = 0x8000'0000;    // __WCLONE
constexpr std::uint64_t kThreadFlags = kNoThread | kAll | kClones;

std::int64_t call_exit(Task& task) {
  end_task(task, exited(task.arguments[0]));
  return kBlocked;
}

std::int64_t call_exit_group(Task& task) {
  condemn_process(*task.process, exited(task.arguments[0]));
  return kBlocked;
}

// Which children a call means.
struct Wanted {
  enum class Kind : std::uint8_t { kAny, kProcess, kGroup } kind = Kind::kAny;
  std::uint32_t id = 0;

  bool includes(const Process& child) const {
    switch (kind) {
      case Kind::kProcess:
        return child.id() == id;
      case Kind::kGroup:
        return child.group == id;
      case Kind::kAny:
        return true;
    }
    return false;
  }
};

// Children that end without SIGCHLD are waited for by name of their kind only.
bool is_of_kind(const Process& child, std::uint64_t options) {
  constexpr std::uint32_t kChildSignal = 17;
  return (options & kAll) != 0 || (child.exit_signal != kChildSignal) == ((options & kClones) != 0);
}

// The first child with news of the kinds in `options`. `any`: whether there is a child at all.
Process* find_news(const Process& parent, const Wanted& wanted, std::uint64_t options, bool& any) {
  any = false;
  for (Process* child : all_processes()) {
    if (child == nullptr || child->parent != &parent || !wanted.includes(*child) ||
        !is_of_kind(*child, options)) {
      continue;
    }
    any = true;
    if (((options & kExited) != 0 && child->state == ProcessState::kEnded) ||
        ((options & kStopped) != 0 && child->state == ProcessState::kStopped &&
         child->stop_untold) ||
        ((options & kContinued) != 0 && child->state == ProcessState::kRunning &&
         child->continue_untold)) {
      return child;
    }
  }
  return nullptr;
}

void mark_told(Process& child, std::uint64_t options) {
  if ((options & kNoReap) != 0) {
    return;
  }
  if (child.state == ProcessState::kEnded) {
    add_to_parent(child);
    reap_process(child);
    return;
  }
  child.stop_untold = child.continue_untold = false;
}

std::int64_t call_wait4(Task& task) {
  const auto id = static_cast<std::int32_t>(task.arguments[0]);
  const std::uint64_t options = static_cast<std::uint32_t>(task.arguments[2]);
  if ((options & ~(kNoHang | kStopped | kContinued | kThreadFlags)) != 0) {
    return -EINVAL;
  }
  Wanted wanted;
  if (id > 0) {
    wanted = {Wanted::Kind::kProcess, static_cast<std::uint32_t>(id)};
  } else if (id == 0) {
    wanted = {Wanted::Kind::kGroup, task.process->group};
  } else if (id < -1) {
    if (id == std::numeric_limits<std::int32_t>::min()) {
      return -ESRCH;
    }
    wanted = {Wanted::Kind::kGroup, static_cast<std::uint32_t>(-id)};
  }
  bool any = false;
  Process* child = find_news(*task.process, wanted, options | kExited, any);
  if (child == nullptr) {
    return !any                       ? -ECHILD
           : (options & kNoHang) != 0 ? 0
                                      : task.wait(task.process->children_changed);
  }
  const std::int64_t result = child->id();
  AddressSpace& space = task.process->space();
  const std::int32_t status = child->wait_status;
  const ResourceUsage usage = usage_of_family(*child);
  // The child counts as told even if the pointer is bad, as on Linux.
  mark_told(*child, options);
  if ((task.arguments[1] != 0 && !space.write_value(task.arguments[1], status)) ||
      (task.arguments[3] != 0 && !space.write_value(task.arguments[3], usage))) {
    return -EFAULT;
  }
  return result;
}

// siginfo_t of a child's change: si_signo, si_errno, si_code, si_pid, si_uid, si_status.
using ChildInfo = std::array<std::int32_t, 32>;

ChildInfo describe(const Process& child) {
  constexpr std::int32_t kChildSignal = 17;
  const std::int32_t status = child.wait_status;
  ChildInfo info = {};
  info[0] = kChildSignal;
  info[4] = static_cast<std::int32_t>(child.id());
  info[5] = static_cast<std::int32_t>(child.credentials.real_user);
  // CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLD_CONTINUED
  if (child.state == ProcessState::kStopped) {
    info[2] = 5;
    info[6] = status >> 8 & 0xff;
  } else if (child.state == ProcessState::kRunning) {
    info[2] = 6;
    info[6] = 18;
  } else {
    const std::int32_t signal = status & 0x7f;
    info[2] = signal != 0 ? 2 : 1;
    info[6] = signal != 0 ? signal : status >> 8 & 0xff;
  }
  return info;
}

std::int64_t call_waitid(Task& task) {
  const auto type = static_cast<std::uint32_t>(task.arguments[0]);
  const auto id = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint64_t options = static_cast<std::uint32_t>(task.arguments[3]);
  constexpr std::uint64_t kEvents = kStopped | kExited | kContinued;
  if ((options & ~(kNoHang | kEvents | kNoReap | kThreadFlags)) != 0 || (options & kEvents) == 0) {
    return -EINVAL;
  }
  Wanted wanted;
  bool fails_at_once = false;
  switch (type) {
    case 0:  // P_ALL
      break;
    case 1:  // P_PID
      if (static_cast<std::int32_t>(id) <= 0) {
        return -EINVAL;
      }
      wanted = {Wanted::Kind::kProcess, id};
      break;
    case 2:  // P_PGID
      if (static_cast<std::int32_t>(id) < 0) {
        return -EINVAL;
      }
      wanted = {Wanted::Kind::kGroup, id == 0 ? task.process->group : id};
      break;
    case 3: {  // P_PIDFD
      if (static_cast<std::int32_t>(id) < 0) {
        return -EINVAL;
      }
      const auto file = find_process_file(task, id);
      if (!file) {
        return -file.error().number;
      }
      if ((*file)->process() == nullptr) {
        return -ECHILD;
      }
      wanted = {Wanted::Kind::kProcess, (*file)->process()->id()};
      fails_at_once = ((*file)->flags() & O_NONBLOCK) != 0;
      break;
    }
    default:
      return -EINVAL;
  }
  bool any = false;
  Process* child = find_news(*task.process, wanted, options, any);
  if (child == nullptr && !any) {
    return -ECHILD;
  }
  if (child == nullptr && (options & kNoHang) == 0) {
    return fails_at_once ? -EAGAIN : task.wait(task.process->children_changed);
  }
  const ChildInfo info = child == nullptr ? ChildInfo{} : describe(*child);
  const bool found = child != nullptr;
  const ResourceUsage usage = found ? usage_of_family(*child) : ResourceUsage{};
  if (child != nullptr) {
    mark_told(*child, options);
  }
  AddressSpace& space = task.process->space();
  if ((task.arguments[2] != 0 && !space.write_value(task.arguments[2], info)) ||
      (task.arguments[4] != 0 && found && !space.write_value(task.arguments[4], usage))) {
    return -EFAULT;
  }
  return 0;
}

constexpr CallEntry kCalls[] = {
    {__NR_exit, call_exit},
    {__NR_exit_group, call_exit_group},
    {__NR_wait4, call_wait4},
    {__NR_waitid, call_waitid},
};

}  // namespace

std::span<const CallEntry> child_calls() {
  return kCalls;
}

}  // namespace linux_server
