#include "guest-kernel/linux/server/calls/file_owner.h"

#include <asm/fcntl.h>

#include "guest-kernel/linux/server/ipc/input_signal.h"
#include "guest-kernel/linux/server/ipc/process_groups.h"
#include "guest-kernel/linux/server/process_table.h"

namespace linux_server {
namespace {

// struct f_owner_ex
struct UserOwner {
  std::int32_t kind;
  std::int32_t id;
};

// Null: no memory.
InputSignal* make_input_signal(File& file) {
  if (!file.input_signal) {
    file.input_signal = Reference<Counted>(new InputSignal(file));
  }
  return static_cast<InputSignal*>(file.input_signal.get());
}

FileOwner owner_of(const File& file) {
  const auto* signal = static_cast<const InputSignal*>(file.input_signal.get());
  return signal != nullptr ? signal->owner : FileOwner();
}

bool exists(FileOwner::Kind kind, std::uint32_t id) {
  switch (kind) {
    case FileOwner::Kind::kThread:
      return find_task(id) != nullptr;
    case FileOwner::Kind::kProcess:
      return find_process(id) != nullptr;
    case FileOwner::Kind::kGroup:
      return group_exists(id);
  }
  return false;
}

std::int64_t set_owner(Task& task, File& file, FileOwner::Kind kind, std::uint32_t id) {
  if (id != 0 && !exists(kind, id)) {
    return -ESRCH;
  }
  InputSignal* signal = make_input_signal(file);
  if (signal == nullptr) {
    return -ENOMEM;
  }
  const Credentials& own = task.process->credentials;
  signal->owner = {kind, id, own.real_user, own.effective_user, signal->owner.signal};
  return 0;
}

std::int64_t set_owner_of_kind(Task& task, File& file, std::uint64_t address) {
  const auto wanted = task.process->space().read_value<UserOwner>(address);
  if (!wanted) {
    return -EFAULT;
  }
  if (wanted->kind < F_OWNER_TID || wanted->kind > F_OWNER_PGRP) {
    return -EINVAL;
  }
  return set_owner(task, file, static_cast<FileOwner::Kind>(wanted->kind),
                   static_cast<std::uint32_t>(wanted->id));
}

std::int64_t set_signal(File& file, std::uint64_t number) {
  if (number > Process::kSignals) {
    return -EINVAL;
  }
  if (number == 0 && !file.input_signal) {
    return 0;
  }
  InputSignal* signal = make_input_signal(file);
  if (signal == nullptr) {
    return -ENOMEM;
  }
  signal->owner.signal = static_cast<std::uint32_t>(number);
  return 0;
}

bool can_tell(File& file) {
  switch (file.kind()) {
    case FileKind::kPipe:
    case FileKind::kSocket:
    case FileKind::kTerminal:
    case FileKind::kTerminalMaster:
      return true;
    default:
      return file.inotify() != nullptr;
  }
}

}  // namespace

std::int64_t set_file_owner(Task& task, File& file, std::int32_t owner) {
  if (owner == std::numeric_limits<std::int32_t>::min()) {
    return -EINVAL;
  }
  return owner < 0
             ? set_owner(task, file, FileOwner::Kind::kGroup, static_cast<std::uint32_t>(-owner))
             : set_owner(task, file, FileOwner::Kind::kProcess, static_cast<std::uint32_t>(owner));
}

std::int32_t file_owner(File& file) {
  const FileOwner owner = owner_of(file);
  const auto id = static_cast<std::int32_t>(owner.id);
  return owner.kind == FileOwner::Kind::kGroup ? -id : id;
}

std::int64_t control_file_owner(Task& task, File& file, std::uint32_t command,
                                std::uint64_t argument) {
  switch (command) {
    case F_SETOWN:
      return set_file_owner(task, file, static_cast<std::int32_t>(argument));
    case F_GETOWN:
      return file_owner(file);
    case F_SETSIG:
      return set_signal(file, argument);
    case F_GETSIG:
      return owner_of(file).signal;
    case F_SETOWN_EX:
      return set_owner_of_kind(task, file, argument);
    case F_GETOWN_EX: {
      const FileOwner owner = owner_of(file);
      const UserOwner told = {static_cast<std::int32_t>(owner.kind),
                              static_cast<std::int32_t>(owner.id)};
      return task.process->space().write_value(argument, told) ? 0 : -EFAULT;
    }
    default:
      return kBlocked;
  }
}

std::int64_t set_asynchronous(Task& task, File& file, std::uint64_t descriptor, bool on) {
  if (!on || !can_tell(file)) {
    if (file.input_signal) {
      static_cast<InputSignal*>(file.input_signal.get())->stop();
    }
    return 0;
  }
  InputSignal* signal = make_input_signal(file);
  if (signal == nullptr) {
    return -ENOMEM;
  }
  signal->start(static_cast<std::uint32_t>(descriptor));
  return file.kind() == FileKind::kTerminal && signal->owner.id == 0
             ? set_owner(task, file, FileOwner::Kind::kGroup, task.process->group)
             : 0;
}

}  // namespace linux_server
