#include <asm/fcntl.h>
#include <asm/unistd.h>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/inspection.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/calls/signal_support.h"
#include "guest-kernel/linux/server/ipc/process_file.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/signals.h"

// Descriptors of processes: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).
namespace linux_server {
namespace {

std::int64_t call_pidfd_open(Task& task) {
  const auto id = static_cast<std::int32_t>(task.arguments[0]);
  const auto flags = static_cast<std::uint32_t>(task.arguments[1]);
  if ((flags & ~std::uint32_t{O_NONBLOCK}) != 0 || id <= 0) {
    return -EINVAL;
  }
  Process* process = find_process(static_cast<std::uint32_t>(id));
  if (process == nullptr) {
    return find_task(static_cast<std::uint32_t>(id)) != nullptr ? -ENOENT : -ESRCH;
  }
  return add_process_descriptor(task, *process, flags);
}

// The process of a descriptor that signals can be sent through: one of pidfd_open(), or its
// directory in /proc. Null: it has ended.
Result<Process*> find_subject(Task& task, std::uint64_t descriptor) {
  const Reference<File> file =
      task.process->descriptors().find(static_cast<std::uint32_t>(descriptor));
  const std::uint32_t id =
      file && (file->flags() & O_PATH) == 0 ? file->node().process_id() : std::uint32_t{0};
  if (id != 0) {
    return find_process(id);
  }
  const auto of_process = find_process_file(task, descriptor);
  return of_process ? Result<Process*>((*of_process)->process()) : fail(EBADF);
}

std::int64_t call_pidfd_send_signal(Task& task) {
  const auto signal = static_cast<std::uint32_t>(task.arguments[1]);
  if (static_cast<std::uint32_t>(task.arguments[3]) != 0) {
    return -EINVAL;
  }
  const auto found = find_subject(task, task.arguments[0]);
  if (!found) {
    return as_error(found);
  }
  SignalInfo info = SignalInfo::from_process(signal, SignalInfo::kUser, task.process->as_sender());
  Process* subject = *found;
  if (task.arguments[2] != 0) {
    const auto given = task.process->space().read_value<SignalInfo>(task.arguments[2]);
    if (!given) {
      return -EFAULT;
    }
    if (given->number() != signal) {
      return -EINVAL;
    }
    if (subject != task.process && (given->code() >= 0 || given->code() == SignalInfo::kThread)) {
      return -EPERM;
    }
    info = *given;
  }
  return subject != nullptr ? send_checked(task, *subject, info) : -ESRCH;
}

std::int64_t call_pidfd_getfd(Task& task) {
  if (static_cast<std::uint32_t>(task.arguments[2]) != 0) {
    return -EINVAL;
  }
  const auto file = find_process_file(task, task.arguments[0]);
  if (!file) {
    return as_error(file);
  }
  Process* subject = (*file)->process();
  if (subject == nullptr || subject->state == ProcessState::kEnded) {
    return -ESRCH;
  }
  if (!may_inspect(*task.process, *subject)) {
    return -EPERM;
  }
  const Reference<File> wanted =
      subject->descriptors().find(static_cast<std::uint32_t>(task.arguments[1]));
  return wanted ? task.process->descriptors().add(wanted, true) : -EBADF;
}

constexpr CallEntry kCalls[] = {
    {__NR_pidfd_open, call_pidfd_open},
    {__NR_pidfd_send_signal, call_pidfd_send_signal},
    {__NR_pidfd_getfd, call_pidfd_getfd},
};

}  // namespace

std::span<const CallEntry> process_descriptor_calls() {
  return kCalls;
}

}  // namespace linux_server
