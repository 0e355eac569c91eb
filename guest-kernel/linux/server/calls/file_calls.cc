#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/ipc/io_vectors.h"
#include "guest-kernel/linux/server/notify.h"

// Calls that read, write and seek.
namespace linux_server {
namespace {

enum class Direction : std::uint8_t { kRead, kWrite };

// Where a transfer takes place.
struct Position {
  bool is_given = false;  // else the file's own, which then moves
  std::uint64_t offset = 0;
  bool at_end = false;  // as O_APPEND
};

// Whether a program could have such a buffer at all.
bool is_user_range(std::uint64_t address, std::uint64_t size) {
  return address <= abi::kUserEnd && size <= abi::kUserEnd - address;
}

bool may_transfer(const File& file, Direction direction) {
  return direction == Direction::kRead ? file.may_read() : file.may_write();
}

std::uint64_t start_of_transfer(const File& file, Direction direction, const Position& position) {
  const bool appends = direction == Direction::kWrite && file.is_seekable() &&
                       (position.at_end || (file.flags() & O_APPEND) != 0);
  return appends ? file.size() : position.is_given ? position.offset : file.position();
}

// How many bytes may be transferred as far as RLIMIT_FSIZE goes.
std::uint64_t room_of(const Task& task, const File& file, Direction direction,
                      const Position& position) {
  const std::uint64_t limit = task.process->limits[shim::kFileSizeLimit].current;
  if (direction == Direction::kRead || limit == shim::kUnlimited ||
      file.node().type() != kRegularFile) {
    return ~std::uint64_t{0};
  }
  const std::uint64_t at = start_of_transfer(file, direction, position);
  return limit > at ? limit - at : 0;
}

std::int64_t transfer(Task& task, File& file, const UserBuffer& buffer, Direction direction,
                      const Position& position) {
  const bool reading = direction == Direction::kRead;
  const bool seekable = file.is_seekable();
  const std::uint64_t at = start_of_transfer(file, direction, position);
  const std::int64_t done = reading ? file.read(task, buffer, at) : file.write(task, buffer, at);
  if (done > 0) {
    if (!position.is_given && seekable) {
      const std::uint64_t end = at + static_cast<std::uint64_t>(done);
      reading ? file.move_on(end) : file.set_position(end);
    }
    if (!reading) {
      drop_set_ids(task, file.node());
    }
    notify(file.node(), reading ? NodeEvent::kAccessed : NodeEvent::kModified);
  }
  return done;
}

// The file, if it may be read or written so, or a negative errno.
std::int64_t check(Task& task, Direction direction, const Position& position,
                   Reference<File>& file) {
  file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  if (position.is_given && static_cast<std::int64_t>(position.offset) < 0) {
    return -EINVAL;
  }
  if (position.is_given && !file->is_seekable()) {
    return -ESPIPE;
  }
  return may_transfer(*file, direction) ? 0 : -EBADF;
}

std::int64_t transfer_one(Task& task, Direction direction, const Position& position = {}) {
  Reference<File> file;
  if (const std::int64_t error = check(task, direction, position, file); error != 0) {
    return error;
  }
  if (!is_user_range(task.arguments[1], task.arguments[2])) {
    return -EFAULT;
  }
  const std::uint64_t room = room_of(task, *file, direction, position);
  if (room == 0 && task.arguments[2] != 0) {
    return too_large(task);
  }
  const UserBuffer buffer(task.process->space(), task.arguments[1],
                          std::min({task.arguments[2], kMaximumTransfer, room}));
  return transfer(task, *file, buffer, direction, position);
}

std::int64_t transfer_vectors(Task& task, Direction direction, const Position& position = {}) {
  Reference<File> file;
  if (const std::int64_t error = check(task, direction, position, file); error != 0) {
    return error;
  }
  IoVectors vectors;
  AddressSpace& space = task.process->space();
  if (const auto read = vectors.read(space, task.arguments[1], task.arguments[2]); !read) {
    return -read.error().number;
  }
  const std::uint64_t room = room_of(task, *file, direction, position);
  if (room == 0 && vectors.size() != 0) {
    return too_large(task);
  }
  return transfer(task, *file, vectors.buffer(space, room), direction, position);
}

Position at(std::uint64_t offset) {
  return {.is_given = true, .offset = offset};
}

std::int64_t call_read(Task& task) {
  const std::int64_t done = transfer_one(task, Direction::kRead);
  if (done > 0 && static_cast<std::uint64_t>(done) == task.arguments[2]) {
    task.process->descriptors().read_ahead(task.arguments[0], task.process->memory(),
                                           task.arguments[2]);
  }
  return done;
}
std::int64_t call_write(Task& task) {
  return transfer_one(task, Direction::kWrite);
}
std::int64_t call_pread(Task& task) {
  return transfer_one(task, Direction::kRead, at(task.arguments[3]));
}
std::int64_t call_pwrite(Task& task) {
  return transfer_one(task, Direction::kWrite, at(task.arguments[3]));
}
std::int64_t call_readv(Task& task) {
  return transfer_vectors(task, Direction::kRead);
}
std::int64_t call_writev(Task& task) {
  return transfer_vectors(task, Direction::kWrite);
}
std::int64_t call_preadv(Task& task) {
  return transfer_vectors(task, Direction::kRead, at(task.arguments[3]));
}
std::int64_t call_pwritev(Task& task) {
  return transfer_vectors(task, Direction::kWrite, at(task.arguments[3]));
}

// preadv2 and pwritev2: an offset of −1 is the file's own position.
std::int64_t transfer_with_flags(Task& task, Direction direction) {
  constexpr std::uint32_t kKnown = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
  const auto flags = static_cast<std::uint32_t>(task.arguments[5]);
  if ((flags & ~kKnown) != 0) {
    return -EOPNOTSUPP;
  }
  Position position;
  if (task.arguments[3] != ~std::uint64_t{0}) {
    position = at(task.arguments[3]);
  }
  position.at_end = (flags & RWF_APPEND) != 0;
  return transfer_vectors(task, direction, position);
}
std::int64_t call_preadv2(Task& task) {
  return transfer_with_flags(task, Direction::kRead);
}
std::int64_t call_pwritev2(Task& task) {
  return transfer_with_flags(task, Direction::kWrite);
}

std::int64_t seek_extent(File& file, std::int64_t offset, SeekTarget target) {
  const std::uint64_t size = file.size();
  if (offset < 0 || static_cast<std::uint64_t>(offset) >= size) {
    return -ENXIO;
  }
  const std::uint64_t found = file.node().seek(target, static_cast<std::uint64_t>(offset));
  if (target == SeekTarget::kData && found >= size) {
    return -ENXIO;
  }
  file.set_position(found);
  return static_cast<std::int64_t>(found);
}

std::int64_t call_seek(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  switch (file->kind()) {
    case FileKind::kEpoll:
    case FileKind::kEvent:
    case FileKind::kTimer:
    case FileKind::kSignal:
      return 0;  // no error, and nothing moves
    default:
      break;
  }
  if (!file->is_seekable()) {
    return -ESPIPE;
  }
  const auto offset = static_cast<std::int64_t>(task.arguments[1]);
  std::int64_t base = 0;
  switch (static_cast<std::uint32_t>(task.arguments[2])) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = static_cast<std::int64_t>(file->position());
      break;
    case SEEK_END:
      base = static_cast<std::int64_t>(file->size());
      break;
    case SEEK_DATA:
      return seek_extent(*file, offset, SeekTarget::kData);
    case SEEK_HOLE:
      return seek_extent(*file, offset, SeekTarget::kHole);
    default:
      return -EINVAL;
  }
  std::int64_t result = 0;
  if (__builtin_add_overflow(base, offset, &result) || result < 0) {
    return -EINVAL;
  }
  file->set_position(static_cast<std::uint64_t>(result));
  return result;
}

std::int64_t call_getdents64(Task& task) {
  constexpr std::uint32_t kMaximumSize = 1 << 20;
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  const auto size = std::min(static_cast<std::uint32_t>(task.arguments[2]), kMaximumSize);
  const std::int64_t result =
      file->list(task, UserBuffer(task.process->space(), task.arguments[1], size));
  if (result >= 0) {
    notify(file->node(), NodeEvent::kAccessed);
  }
  return result;
}

// The records of getdents64(2) as getdents(2) has them: the type comes last, not before the name.
std::int64_t make_old_records(AddressSpace& space, std::uint64_t address, std::uint64_t size) {
  constexpr std::size_t kSizeAt = 16;
  constexpr std::size_t kTypeAt = 18;
  std::array<std::byte, 512> record;
  for (std::uint64_t offset = 0; offset < size;) {
    const auto length = space.read_value<std::uint16_t>(address + offset + kSizeAt);
    if (!length || *length <= kTypeAt || *length > record.size()) {
      return -EFAULT;
    }
    const auto bytes = std::span(record).first(*length);
    if (!space.read(address + offset, bytes)) {
      return -EFAULT;
    }
    std::rotate(bytes.begin() + kTypeAt, bytes.begin() + kTypeAt + 1, bytes.end());
    if (!space.write(address + offset, bytes)) {
      return -EFAULT;
    }
    offset += *length;
  }
  return static_cast<std::int64_t>(size);
}

std::int64_t call_getdents(Task& task) {
  const std::int64_t result = call_getdents64(task);
  return result <= 0 ? result
                     : make_old_records(task.process->space(), task.arguments[1],
                                        static_cast<std::uint64_t>(result));
}

constexpr CallEntry kCalls[] = {
    {__NR_read, call_read},         {__NR_write, call_write},
    {__NR_pread64, call_pread},     {__NR_pwrite64, call_pwrite},
    {__NR_readv, call_readv},       {__NR_writev, call_writev},
    {__NR_preadv, call_preadv},     {__NR_pwritev, call_pwritev},
    {__NR_preadv2, call_preadv2},   {__NR_pwritev2, call_pwritev2},
    {__NR_lseek, call_seek},        {__NR_getdents64, call_getdents64},
    {__NR_getdents, call_getdents},
};

}  // namespace

std::span<const CallEntry> file_calls() {
  return kCalls;
}

}  // namespace linux_server
