#include <asm/fcntl.h>
#include <asm/unistd.h>

#include <limits>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/ipc/call_deadline.h"
#include "guest-kernel/linux/server/ipc/epoll_file.h"
#include "guest-kernel/linux/server/ipc/signal_mask_argument.h"

// epoll(7).
namespace linux_server {
namespace {

enum Operation : std::uint32_t { kAdd = 1, kDelete = 2, kModify = 3 };

std::int64_t create(Task& task, std::uint32_t flags) {
  if ((flags & ~std::uint32_t{O_CLOEXEC}) != 0) {
    return -EINVAL;
  }
  const auto node = make_event_node("anon_inode:[eventpoll]");
  const Reference<File> file(node ? new EpollFile(node, O_RDWR) : nullptr);
  return file ? task.process->descriptors().add(file, (flags & O_CLOEXEC) != 0) : -ENOMEM;
}
std::int64_t call_epoll_create(Task& task) {
  return static_cast<std::int32_t>(task.arguments[0]) <= 0 ? -EINVAL : create(task, 0);
}
std::int64_t call_epoll_create1(Task& task) {
  return create(task, static_cast<std::uint32_t>(task.arguments[0]));
}

std::int64_t call_epoll_ctl(Task& task) {
  const auto operation = static_cast<std::uint32_t>(task.arguments[1]);
  const auto descriptor = static_cast<std::uint32_t>(task.arguments[2]);
  EpollEvent event = {};
  if (operation != kDelete) {
    const auto given = task.process->space().read_value<EpollEvent>(task.arguments[3]);
    if (!given) {
      return -EFAULT;
    }
    event = *given;
  }
  DescriptorTable& table = task.process->descriptors();
  const Reference<File> set = table.find(static_cast<std::uint32_t>(task.arguments[0]));
  const Reference<File> file = table.find(descriptor);
  if (!set || !file) {
    return -EBADF;
  }
  if (file->changes() == nullptr) {
    return -EPERM;
  }
  if (set.get() == file.get() || set->kind() != FileKind::kEpoll) {
    return -EINVAL;
  }
  auto& epoll = static_cast<EpollFile&>(*set);
  switch (operation) {
    case kAdd:
      return epoll.add(*file, descriptor, event);
    case kDelete:
      return epoll.remove(*file, descriptor);
    case kModify:
      return epoll.change(*file, descriptor, event);
    default:
      return -EINVAL;
  }
}

std::int64_t wait(Task& task) {
  const auto maximum = static_cast<std::int32_t>(task.arguments[2]);
  constexpr auto kMost =
      static_cast<std::int32_t>(std::numeric_limits<std::int32_t>::max() / sizeof(EpollEvent));
  if (maximum <= 0 || maximum > kMost) {
    return -EINVAL;
  }
  const Reference<File> set =
      task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0]));
  if (!set) {
    return -EBADF;
  }
  if (set->kind() != FileKind::kEpoll) {
    return -EINVAL;
  }
  const std::int64_t count = static_cast<EpollFile&>(*set).collect(
      task, task.arguments[1], static_cast<std::uint64_t>(maximum));
  if (count != 0 || task.is_due()) {
    return count;
  }
  return task.interrupted ? -EINTR : task.wait(*set->changes());
}

std::int64_t call_epoll_wait(Task& task) {
  set_deadline_in_milliseconds(task, task.arguments[3]);
  return wait(task);
}

std::int64_t call_epoll_pwait(Task& task) {
  if (!task.resumed) {
    const auto set = check_signal_mask(task, task.arguments[4], task.arguments[5]);
    if (!set) {
      return -set.error().number;
    }
  }
  return call_epoll_wait(task);
}

std::int64_t call_epoll_pwait2(Task& task) {
  if (!task.resumed) {
    std::uint64_t interval = 0;
    if (task.arguments[3] != 0) {
      const auto time = read_time_spec(task.process->space(), task.arguments[3]);
      if (!time) {
        return -time.error().number;
      }
      interval = *time;
    }
    const auto set = check_signal_mask(task, task.arguments[4], task.arguments[5]);
    if (!set) {
      return -set.error().number;
    }
    set_deadline(task, task.arguments[3] != 0 ? &interval : nullptr);
  }
  return wait(task);
}

constexpr CallEntry kCalls[] = {
    {__NR_epoll_create, call_epoll_create}, {__NR_epoll_create1, call_epoll_create1},
    {__NR_epoll_ctl, call_epoll_ctl},       {__NR_epoll_wait, call_epoll_wait},
    {__NR_epoll_pwait, call_epoll_pwait},   {__NR_epoll_pwait2, call_epoll_pwait2},
};

}  // namespace

std::span<const CallEntry> epoll_calls() {
  return kCalls;
}

}  // namespace linux_server
