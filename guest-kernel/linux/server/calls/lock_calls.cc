#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/fs.h>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/calls/record_locks.h"
#include "guest-kernel/linux/server/node_extras.h"

// Locks of files: fcntl's records and flock(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kLastOffset = 0x7fff'ffff'ffff'ffff;

// struct flock
struct UserLock {
  std::int16_t type;
  std::int16_t whence;
  std::uint32_t padding;
  std::int64_t start;
  std::int64_t length;
  std::int32_t process;
  std::uint32_t more_padding;
};

// The range that a program means. EINVAL, EOVERFLOW.
Result<RecordLock> range_of(const UserLock& lock, const File& file) {
  std::int64_t start = 0;
  switch (lock.whence) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      start = static_cast<std::int64_t>(file.position());
      break;
    case SEEK_END:
      start = static_cast<std::int64_t>(file.size());
      break;
    default:
      return fail(EINVAL);
  }
  if (__builtin_add_overflow(start, lock.start, &start)) {
    return fail(EOVERFLOW);
  }
  if (start < 0) {
    return fail(EINVAL);
  }
  RecordLock range;
  std::int64_t last = static_cast<std::int64_t>(kLastOffset);
  if (lock.length > 0 && __builtin_add_overflow(start, lock.length - 1, &last)) {
    return fail(EOVERFLOW);
  }
  if (lock.length < 0) {
    if (start + lock.length < 0) {
      return fail(EINVAL);
    }
    last = start - 1;
    start += lock.length;
  }
  range.start = static_cast<std::uint64_t>(start);
  range.last = static_cast<std::uint64_t>(last);
  return range;
}

// Reads what a program wants. EFAULT, EINVAL, EOVERFLOW.
Result<RecordLock> read_lock(Task& task, File& file, bool of_file, std::uint64_t address,
                             UserLock& lock) {
  const auto value = task.process->space().read_value<UserLock>(address);
  if (!value) {
    return fail(EFAULT);
  }
  lock = *value;
  if ((of_file && lock.process != 0) || lock.type < F_RDLCK || lock.type > F_UNLCK) {
    return fail(EINVAL);
  }
  auto wanted = range_of(lock, file);
  if (wanted) {
    wanted->owner = of_file ? static_cast<const void*>(&file) : &task.process->descriptors();
    wanted->process = task.process->id();
    wanted->exclusive = lock.type == F_WRLCK;
    wanted->of_file = of_file;
  }
  return wanted;
}

std::int64_t lock_whole(Task& task, File& file, FileLocks& locks, bool exclusive, bool waits) {
  if (!locks.may_lock_whole(&file, exclusive)) {
    // What it has is lost where it cannot be changed, as flock(2) says.
    locks.unlock_whole(&file);
    return waits ? task.wait(locks.changed()) : -EAGAIN;
  }
  return as_error(locks.lock_whole(&file, exclusive));
}

std::int64_t call_flock(Task& task) {
  constexpr std::uint32_t kShared = 1;
  constexpr std::uint32_t kExclusive = 2;
  constexpr std::uint32_t kNotWaiting = 4;
  constexpr std::uint32_t kUnlock = 8;
  const auto operation = static_cast<std::uint32_t>(task.arguments[1]);
  const std::uint32_t kind = operation & ~kNotWaiting;
  if (kind != kShared && kind != kExclusive && kind != kUnlock) {
    return -EINVAL;
  }
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  NodeExtras* extras = kind == kUnlock ? file->node().extras() : file->node().make_extras();
  if (kind == kUnlock) {
    if (extras != nullptr) {
      extras->locks.unlock_whole(file.get());
    }
    return 0;
  }
  return extras == nullptr ? -ENOLCK
                           : lock_whole(task, *file, extras->locks, kind == kExclusive,
                                        (operation & kNotWaiting) == 0);
}

constexpr CallEntry kCalls[] = {{__NR_flock, call_flock}};

}  // namespace

std::int64_t query_record_lock(Task& task, File& file, bool of_file, std::uint64_t address) {
  UserLock lock = {};
  const auto wanted = read_lock(task, file, of_file, address, lock);
  if (!wanted) {
    return as_error(wanted);
  }
  if (lock.type == F_UNLCK) {
    return -EINVAL;
  }
  const NodeExtras* extras = file.node().extras();
  const RecordLock* found = extras == nullptr ? nullptr : extras->locks.conflict(*wanted);
  if (found == nullptr) {
    lock.type = F_UNLCK;
  } else {
    lock.type = static_cast<std::int16_t>(found->exclusive ? F_WRLCK : F_RDLCK);
    lock.whence = SEEK_SET;
    lock.start = static_cast<std::int64_t>(found->start);
    lock.length =
        found->last == kLastOffset ? 0 : static_cast<std::int64_t>(found->last - found->start + 1);
    lock.process = found->of_file ? -1 : static_cast<std::int32_t>(found->process);
  }
  return task.process->space().write_value(address, lock) ? 0 : -EFAULT;
}

std::int64_t set_record_lock(Task& task, File& file, bool of_file, bool waits,
                             std::uint64_t address) {
  lock_waits().remove(&task);
  UserLock lock = {};
  const auto wanted = read_lock(task, file, of_file, address, lock);
  if (!wanted) {
    return as_error(wanted);
  }
  if ((lock.type == F_RDLCK && !file.may_read()) || (lock.type == F_WRLCK && !file.may_write())) {
    return -EBADF;
  }
  if (lock.type == F_UNLCK) {
    NodeExtras* extras = file.node().extras();
    return extras == nullptr ? 0 : as_error(extras->locks.give_up(*wanted));
  }
  NodeExtras* extras = file.node().make_extras();
  if (extras == nullptr) {
    return -ENOLCK;
  }
  const RecordLock* conflict = extras->locks.conflict(*wanted);
  if (conflict == nullptr) {
    return as_error(extras->locks.take(*wanted));
  }
  if (!waits) {
    return -EAGAIN;
  }
  if (!of_file && !task.interrupted) {
    if (lock_waits().would_deadlock(wanted->owner, conflict->owner)) {
      return -EDEADLK;
    }
    if (!lock_waits().add(&task, wanted->owner, conflict->owner)) {
      return -ENOLCK;
    }
  }
  return task.wait(extras->locks.changed());
}

std::span<const CallEntry> lock_calls() {
  return kCalls;
}

}  // namespace linux_server
