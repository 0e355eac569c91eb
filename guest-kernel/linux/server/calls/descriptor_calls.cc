#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>

#include <algorithm>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/file_owner.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/calls/record_locks.h"
#include "guest-kernel/linux/server/file_mappings.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/ipc/pipe.h"

// Calls on descriptors: closing, duplicating, setting flags.
namespace linux_server {
namespace {

std::int64_t call_close(Task& task) {
  return task.process->descriptors().close(static_cast<std::uint32_t>(task.arguments[0])) ? 0
                                                                                          : -EBADF;
}

std::int64_t call_close_range(Task& task) {
  constexpr std::uint64_t kCloseOnExec = 4;
  constexpr std::uint64_t kUnshare = 2;
  const std::uint64_t first = static_cast<std::uint32_t>(task.arguments[0]);
  const std::uint64_t last = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[2]);
  if (first > last || (flags & ~(kCloseOnExec | kUnshare)) != 0) {
    return -EINVAL;
  }
  DescriptorTable& table = task.process->descriptors();
  for (std::uint64_t number = first; number <= last && number < table.capacity(); ++number) {
    if ((flags & kCloseOnExec) != 0) {
      table.set_close_on_exec(number, true);
    } else {
      table.close(number);
    }
  }
  return 0;
}

std::int64_t call_dup(Task& task) {
  const Reference<File> file = any_file_of(task, task.arguments[0]);
  return file ? task.process->descriptors().add(file, false) : -EBADF;
}

std::int64_t duplicate_to(Task& task, bool same_is_fine, std::uint64_t flags) {
  const std::uint64_t target = static_cast<std::uint32_t>(task.arguments[1]);
  if ((flags & ~std::uint64_t{O_CLOEXEC}) != 0) {
    return -EINVAL;
  }
  const bool is_same = static_cast<std::uint32_t>(task.arguments[0]) == target;
  if (is_same && !same_is_fine) {
    return -EINVAL;
  }
  const Reference<File> file = any_file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  if (is_same) {
    return static_cast<std::int64_t>(target);
  }
  return task.process->descriptors().put(target, file, (flags & O_CLOEXEC) != 0);
}
std::int64_t call_dup2(Task& task) {
  return duplicate_to(task, true, 0);
}
std::int64_t call_dup3(Task& task) {
  return duplicate_to(task, false, static_cast<std::uint32_t>(task.arguments[2]));
}

constexpr std::uint32_t kSetPipeSize = 1031;
constexpr std::uint32_t kGetPipeSize = 1032;
constexpr std::uint32_t kAddSeals = 1033;
constexpr std::uint32_t kGetSeals = 1034;

std::int64_t add_seals(File& file, std::uint64_t argument) {
  const auto seals = static_cast<std::uint32_t>(argument);
  TmpfsFile* memory = file.node().memory_file();
  if (memory == nullptr) {
    return -EINVAL;
  }
  if (!file.may_write()) {
    return -EPERM;
  }
  if ((seals & ~std::uint32_t{kKnownSeals}) != 0) {
    return -EINVAL;
  }
  if ((memory->seals() & kSealSeal) != 0) {
    return -EPERM;
  }
  if ((seals & kSealWrite) != 0 && (memory->seals() & kSealWrite) == 0 &&
      is_mapped_writable(*memory)) {
    return -EBUSY;
  }
  memory->set_seals(memory->seals() | seals);
  return 0;
}

constexpr std::uint32_t kAsynchronous = 020000;  // O_ASYNC

std::int64_t change_flags(Task& task, File& file, std::uint64_t argument) {
  constexpr std::uint32_t kSettable = O_APPEND | O_NONBLOCK | kAsynchronous | O_DIRECT | O_NOATIME;
  const std::uint64_t changed = file.flags() ^ argument;
  if ((changed & argument & O_NOATIME) != 0 && !is_owner(task, file.node())) {
    return -EPERM;
  }
  if ((changed & kAsynchronous) != 0) {
    const std::int64_t error =
        set_asynchronous(task, file, task.arguments[0], (argument & kAsynchronous) != 0);
    if (error != 0) {
      return error;
    }
  }
  file.set_flags((file.flags() & ~kSettable) | (static_cast<std::uint32_t>(argument) & kSettable));
  return 0;
}

// The commands that an open file of O_PATH knows too; kBlocked: it is another one.
std::int64_t control_descriptor(Task& task, const Reference<File>& file, std::uint32_t command) {
  constexpr std::uint32_t kDuplicateCloseOnExec = 1030;  // F_DUPFD_CLOEXEC
  constexpr std::uint32_t kNotReported = O_CLOEXEC | O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY;
  DescriptorTable& table = task.process->descriptors();
  const std::uint64_t number = static_cast<std::uint32_t>(task.arguments[0]);
  const std::uint64_t argument = task.arguments[2];
  switch (command) {
    case F_DUPFD:
    case kDuplicateCloseOnExec:
      return static_cast<std::uint32_t>(argument) >= table.limit()
                 ? -EINVAL
                 : table.add(file, command != F_DUPFD, static_cast<std::uint32_t>(argument));
    case F_GETFD:
      return table.close_on_exec(number) ? FD_CLOEXEC : 0;
    case F_SETFD:
      table.set_close_on_exec(number, (argument & FD_CLOEXEC) != 0);
      return 0;
    case F_GETFL:
      return static_cast<std::int64_t>(file->flags() & ~kNotReported);
    default:
      return file->is_path_only() ? -EBADF : kBlocked;
  }
}

std::int64_t call_fcntl(Task& task) {
  const Reference<File> file = any_file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  const auto command = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint64_t argument = task.arguments[2];
  if (const std::int64_t result = control_descriptor(task, file, command); result != kBlocked) {
    return result;
  }
  switch (command) {
    case F_SETFL:
      return change_flags(task, *file, argument);
    case F_GETLK:
    case F_OFD_GETLK:
      return query_record_lock(task, *file, command == F_OFD_GETLK, argument);
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return set_record_lock(task, *file, command >= F_OFD_GETLK,
                             command == F_SETLKW || command == F_OFD_SETLKW, argument);
    case kAddSeals:
      return add_seals(*file, argument);
    case kGetSeals: {
      const TmpfsFile* memory = file->node().memory_file();
      return memory != nullptr ? std::int64_t{memory->seals()} : -EINVAL;
    }
    case kSetPipeSize:
      return set_pipe_capacity(*file, argument);
    case kGetPipeSize:
      return pipe_capacity(*file);
    default: {
      const std::int64_t result = control_file_owner(task, *file, command, argument);
      return result != kBlocked ? result : file->command(task, command, argument);
    }
  }
}

std::int64_t call_ioctl(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  const std::uint32_t request = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint64_t number = static_cast<std::uint32_t>(task.arguments[0]);
  switch (request) {
    case FIOCLEX:
    case FIONCLEX:
      task.process->descriptors().set_close_on_exec(number, request == FIOCLEX);
      return 0;
    case FIONBIO:
    case FIOASYNC: {
      const auto value = task.process->space().read_value<std::uint32_t>(task.arguments[2]);
      if (!value) {
        return -EFAULT;
      }
      const std::uint32_t flag = request == FIONBIO ? std::uint32_t{O_NONBLOCK} : kAsynchronous;
      return change_flags(task, *file, (file->flags() & ~flag) | (*value != 0 ? flag : 0));
    }
    case FIONREAD:
      if (file->node().type() == kRegularFile && file->is_seekable()) {
        const std::uint64_t size = file->size();
        const auto rest = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(size - std::min(size, file->position()), 0x7fff'ffff));
        return task.process->space().write_value(task.arguments[2], rest) ? 0 : -EFAULT;
      }
      return file->control(task, request, task.arguments[2]);
    default:
      return file->control(task, request, task.arguments[2]);
  }
}

constexpr CallEntry kCalls[] = {
    {__NR_close, call_close}, {__NR_close_range, call_close_range},
    {__NR_dup, call_dup},     {__NR_dup2, call_dup2},
    {__NR_dup3, call_dup3},   {__NR_fcntl, call_fcntl},
    {__NR_ioctl, call_ioctl},
};

}  // namespace

std::span<const CallEntry> descriptor_calls() {
  return kCalls;
}

}  // namespace linux_server
