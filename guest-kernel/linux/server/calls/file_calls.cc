#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/stat.h>

#include <algorithm>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/ipc/io_vectors.h"
#include "guest-kernel/linux/server/ipc/pipe.h"

// Calls on descriptors: reading, writing, seeking, duplicating.
namespace linux_server {
namespace {

constexpr std::uint64_t kSendfileChunk = 4096;

Reference<File> file_of(Task& task) {
  return task.process->descriptors().find(static_cast<std::uint32_t>(task.arguments[0]));
}

enum class Direction : std::uint8_t { kRead, kWrite };

// Reads or writes at the file's own position, which then moves, or at `offset`.
std::int64_t transfer(Task& task, File& file, const UserBuffer& buffer, Direction direction,
                      const std::uint64_t* offset) {
  const bool reading = direction == Direction::kRead;
  if (reading ? !file.may_read() : !file.may_write()) {
    return -EBADF;
  }
  const std::uint64_t at = offset != nullptr ? *offset : file.position;
  const std::int64_t done = reading ? file.read(task, buffer, at) : file.write(task, buffer, at);
  if (done > 0 && offset == nullptr && file.is_seekable()) {
    file.position += static_cast<std::uint64_t>(done);
  }
  return done;
}

std::int64_t transfer_one(Task& task, Direction direction, const std::uint64_t* offset) {
  const Reference<File> file = file_of(task);
  if (!file) {
    return -EBADF;
  }
  if (offset != nullptr && !file->is_seekable()) {
    return -ESPIPE;
  }
  if (offset != nullptr && static_cast<std::int64_t>(*offset) < 0) {
    return -EINVAL;
  }
  const UserBuffer buffer(task.process->space(), task.arguments[1],
                          std::min(task.arguments[2], kMaximumTransfer));
  return transfer(task, *file, buffer, direction, offset);
}

std::int64_t transfer_vectors(Task& task, Direction direction, const std::uint64_t* offset) {
  const Reference<File> file = file_of(task);
  if (!file) {
    return -EBADF;
  }
  if (offset != nullptr && !file->is_seekable()) {
    return -ESPIPE;
  }
  if (offset != nullptr && static_cast<std::int64_t>(*offset) < 0) {
    return -EINVAL;
  }
  IoVectors vectors;
  AddressSpace& space = task.process->space();
  if (const auto read = vectors.read(space, task.arguments[1], task.arguments[2]); !read) {
    return -read.error().number;
  }
  return transfer(task, *file, vectors.buffer(space), direction, offset);
}

std::int64_t call_read(Task& task) {
  return transfer_one(task, Direction::kRead, nullptr);
}
std::int64_t call_write(Task& task) {
  return transfer_one(task, Direction::kWrite, nullptr);
}
std::int64_t call_pread(Task& task) {
  return transfer_one(task, Direction::kRead, &task.arguments[3]);
}
std::int64_t call_pwrite(Task& task) {
  return transfer_one(task, Direction::kWrite, &task.arguments[3]);
}
std::int64_t call_readv(Task& task) {
  return transfer_vectors(task, Direction::kRead, nullptr);
}
std::int64_t call_writev(Task& task) {
  return transfer_vectors(task, Direction::kWrite, nullptr);
}
std::int64_t call_preadv(Task& task) {
  return transfer_vectors(task, Direction::kRead, &task.arguments[3]);
}
std::int64_t call_pwritev(Task& task) {
  return transfer_vectors(task, Direction::kWrite, &task.arguments[3]);
}

std::int64_t call_seek(Task& task) {
  const Reference<File> file = file_of(task);
  if (!file) {
    return -EBADF;
  }
  if (!file->is_seekable()) {
    return -ESPIPE;
  }
  const auto offset = static_cast<std::int64_t>(task.arguments[1]);
  const auto size = static_cast<std::int64_t>(file->size());
  std::int64_t base = 0;
  switch (static_cast<std::uint32_t>(task.arguments[2])) {
    case 0:  // SEEK_SET
      break;
    case 1:  // SEEK_CUR
      base = static_cast<std::int64_t>(file->position);
      break;
    case 2:  // SEEK_END
      base = size;
      break;
    case 3:  // SEEK_DATA: there are no holes
      return offset < 0 || offset >= size
                 ? -ENXIO
                 : static_cast<std::int64_t>(file->position = task.arguments[1]);
    case 4:  // SEEK_HOLE
      return offset < 0 || offset >= size
                 ? -ENXIO
                 : static_cast<std::int64_t>(file->position = static_cast<std::uint64_t>(size));
    default:
      return -EINVAL;
  }
  std::int64_t result = 0;
  if (__builtin_add_overflow(base, offset, &result)) {
    return -EOVERFLOW;
  }
  if (result < 0) {
    return -EINVAL;
  }
  file->position = static_cast<std::uint64_t>(result);
  return result;
}

std::int64_t call_close(Task& task) {
  return task.process->descriptors().close(static_cast<std::uint32_t>(task.arguments[0])) ? 0
                                                                                          : -EBADF;
}

std::int64_t call_close_range(Task& task) {
  constexpr std::uint64_t kCloseOnExec = 4;
  const std::uint64_t first = static_cast<std::uint32_t>(task.arguments[0]);
  const std::uint64_t last = static_cast<std::uint32_t>(task.arguments[1]);
  if (first > last || (task.arguments[2] & ~(kCloseOnExec | 2)) != 0) {
    return -EINVAL;
  }
  DescriptorTable& table = task.process->descriptors();
  for (std::uint64_t number = first; number <= last && number < table.capacity(); ++number) {
    if ((task.arguments[2] & kCloseOnExec) != 0) {
      table.set_close_on_exec(number, true);
    } else {
      table.close(number);
    }
  }
  return 0;
}

std::int64_t call_dup(Task& task) {
  const Reference<File> file = file_of(task);
  return file ? task.process->descriptors().add(file, false) : -EBADF;
}

std::int64_t duplicate_to(Task& task, bool same_is_fine, std::uint64_t flags) {
  const Reference<File> file = file_of(task);
  const std::uint64_t target = static_cast<std::uint32_t>(task.arguments[1]);
  if (!file) {
    return -EBADF;
  }
  if (static_cast<std::uint32_t>(task.arguments[0]) == target) {
    return same_is_fine ? static_cast<std::int64_t>(target) : -EINVAL;
  }
  if ((flags & ~std::uint64_t{O_CLOEXEC}) != 0) {
    return -EINVAL;
  }
  return task.process->descriptors().put(target, file, (flags & O_CLOEXEC) != 0);
}
std::int64_t call_dup2(Task& task) {
  return duplicate_to(task, true, 0);
}
std::int64_t call_dup3(Task& task) {
  return duplicate_to(task, false, task.arguments[2]);
}

std::int64_t call_fcntl(Task& task) {
  constexpr std::uint32_t kSettable = O_APPEND | O_NONBLOCK;
  const Reference<File> file = file_of(task);
  if (!file) {
    return -EBADF;
  }
  DescriptorTable& table = task.process->descriptors();
  const std::uint64_t number = static_cast<std::uint32_t>(task.arguments[0]);
  const std::uint64_t argument = task.arguments[2];
  switch (static_cast<std::uint32_t>(task.arguments[1])) {
    case F_DUPFD:
    case 1030:  // F_DUPFD_CLOEXEC
      return argument >= DescriptorTable::kMaximum
                 ? -EINVAL
                 : table.add(file, task.arguments[1] != F_DUPFD, argument);
    case F_GETFD:
      return table.close_on_exec(number) ? FD_CLOEXEC : 0;
    case F_SETFD:
      table.set_close_on_exec(number, (argument & FD_CLOEXEC) != 0);
      return 0;
    case F_GETFL:
      return static_cast<std::int64_t>(
          file->flags() & ~std::uint32_t{O_CLOEXEC | O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY});
    case F_SETFL:
      file->set_flags((file->flags() & ~kSettable) |
                      (static_cast<std::uint32_t>(argument) & kSettable));
      return 0;
    case 1031:  // F_SETPIPE_SZ
      return set_pipe_capacity(*file, argument);
    case 1032:  // F_GETPIPE_SZ
      return pipe_capacity(*file);
    default:
      return -EINVAL;
  }
}

std::int64_t call_ioctl(Task& task) {
  const Reference<File> file = file_of(task);
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
    case FIONBIO: {
      const auto value = task.process->space().read_value<std::uint32_t>(task.arguments[2]);
      if (!value) {
        return -EFAULT;
      }
      file->set_flags((file->flags() & ~std::uint32_t{O_NONBLOCK}) |
                      (*value != 0 ? std::uint32_t{O_NONBLOCK} : 0));
      return 0;
    }
    default:
      return file->control(task, request, task.arguments[2]);
  }
}

std::int64_t call_getdents64(Task& task) {
  const Reference<File> file = file_of(task);
  return file ? file->list(task, UserBuffer(task.process->space(), task.arguments[1],
                                            std::min<std::uint64_t>(task.arguments[2], 1 << 20)))
              : -EBADF;
}

// Copies between descriptors in small pieces through a page of the server's.
std::int64_t call_sendfile(Task& task) {
  DescriptorTable& table = task.process->descriptors();
  AddressSpace& space = task.process->space();
  const Reference<File> out = table.find(static_cast<std::uint32_t>(task.arguments[0]));
  const Reference<File> in = table.find(static_cast<std::uint32_t>(task.arguments[1]));
  if (!out || !in || !in->may_read() || !out->may_write()) {
    return -EBADF;
  }
  // Only files whose bytes lie still can be a source, as mmap needs them.
  const std::span<const std::byte> contents = in->node().contents();
  if ((in->node().type()) != kRegularFile || (contents.empty() && in->size() != 0)) {
    return -EINVAL;
  }
  std::uint64_t at = in->position;
  if (task.arguments[2] != 0) {
    const auto offset = space.read_value<std::uint64_t>(task.arguments[2]);
    if (!offset) {
      return -EFAULT;
    }
    at = *offset;
  }
  if (static_cast<std::int64_t>(at) < 0) {
    return -EINVAL;
  }
  const std::uint64_t available = at < contents.size() ? contents.size() - at : 0;
  const std::uint64_t size = std::min({task.arguments[3], kMaximumTransfer, available});
  std::uint64_t done = 0;
  std::int64_t result = 0;
  while (done < size) {
    const auto piece = contents.subspan(at + done, std::min(kSendfileChunk, size - done));
    result = out->write_bytes(task, piece);
    if (result <= 0) {
      break;
    }
    done += static_cast<std::uint64_t>(result);
  }
  if (done == 0 && result < 0) {
    return result;
  }
  if (task.arguments[2] == 0) {
    in->position = at + done;
  } else if (!space.write_value(task.arguments[2], at + done)) {
    return -EFAULT;
  }
  return static_cast<std::int64_t>(done);
}

// Nothing that is written needs syncing: there is no file on a disk yet.
std::int64_t call_fsync(Task& task) {
  return file_of(task) ? 0 : -EBADF;
}
std::int64_t call_ftruncate(Task& task) {
  const Reference<File> file = file_of(task);
  return !file ? -EBADF : -EINVAL;
}
std::int64_t call_fchange(Task& task) {
  return file_of(task) ? -EROFS : -EBADF;
}
std::int64_t call_fadvise(Task& task) {
  return file_of(task) ? 0 : -EBADF;
}
std::int64_t call_flock(Task& task) {
  return file_of(task) ? 0 : -EBADF;
}

constexpr CallEntry kCalls[] = {
    {__NR_read, call_read},
    {__NR_write, call_write},
    {__NR_pread64, call_pread},
    {__NR_pwrite64, call_pwrite},
    {__NR_readv, call_readv},
    {__NR_writev, call_writev},
    {__NR_preadv, call_preadv},
    {__NR_pwritev, call_pwritev},
    {__NR_lseek, call_seek},
    {__NR_close, call_close},
    {__NR_close_range, call_close_range},
    {__NR_dup, call_dup},
    {__NR_dup2, call_dup2},
    {__NR_dup3, call_dup3},
    {__NR_fcntl, call_fcntl},
    {__NR_ioctl, call_ioctl},
    {__NR_getdents64, call_getdents64},
    {__NR_sendfile, call_sendfile},
    {__NR_fsync, call_fsync},
    {__NR_fdatasync, call_fsync},
    {__NR_ftruncate, call_ftruncate},
    {__NR_fchmod, call_fchange},
    {__NR_fchown, call_fchange},
    {__NR_fadvise64, call_fadvise},
    {__NR_flock, call_flock},
};

}  // namespace

std::span<const CallEntry> file_calls() {
  return kCalls;
}

}  // namespace linux_server
