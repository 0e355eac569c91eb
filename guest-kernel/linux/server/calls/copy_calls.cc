#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/falloc.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/disk_nodes.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/notify.h"

// Calls that copy between files, and those that change how long one is.
namespace linux_server {
namespace {

constexpr std::uint64_t kMaximumTransfer = 0x7fff'f000;
constexpr std::uint64_t kMaximumOffset = 0x7fff'ffff'ffff'ffff;
constexpr std::size_t kChunk = 16384;

// What is on its way from one file to another; one call uses it at a time.
constinit std::array<std::byte, kChunk> chunk_memory;

// Copies up to `size` bytes. `to_offset`: null: where a write would go. Returns the bytes or, if
// there are none, what the first step said.
std::int64_t copy(Task& task, File& from, std::uint64_t from_offset, File& to,
                  const std::uint64_t* to_offset, std::uint64_t size) {
  std::uint64_t done = 0;
  std::int64_t result = 0;
  while (done < size) {
    const auto room = std::span(chunk_memory).first(std::min<std::uint64_t>(kChunk, size - done));
    result = from.read_bytes(from_offset + done, room);
    if (result <= 0) {
      break;
    }
    const auto piece = std::span<const std::byte>(room).first(static_cast<std::size_t>(result));
    result = to_offset != nullptr ? to.write_bytes_at(task, piece, *to_offset + done)
                                  : to.write_bytes(task, piece);
    if (result <= 0) {
      break;
    }
    done += static_cast<std::uint64_t>(result);
    if (static_cast<std::size_t>(result) < piece.size()) {
      break;
    }
  }
  if (done == 0) {
    return result;
  }
  if (result == kBlocked) {
    static_cast<void>(task.wait_for_deadline());  // it does not wait after all
  }
  notify(from.node(), NodeEvent::kAccessed);
  notify(to.node(), NodeEvent::kModified);
  return static_cast<std::int64_t>(done);
}

// An offset that a program gives by address, or the file's own. EFAULT, EINVAL.
Result<std::uint64_t> read_offset(Task& task, std::uint64_t address, const File& file) {
  if (address == 0) {
    return file.position();
  }
  const auto offset = task.process->space().read_value<std::uint64_t>(address);
  if (!offset) {
    return fail(EFAULT);
  }
  return *offset > kMaximumOffset ? fail(EINVAL) : Result<std::uint64_t>(*offset);
}

// Moves it on. Returns a negative errno or 0.
std::int64_t advance(Task& task, std::uint64_t address, File& file, std::uint64_t to) {
  if (address == 0) {
    file.set_position(to);
    return 0;
  }
  return task.process->space().write_value(address, to) ? 0 : -EFAULT;
}

std::int64_t call_sendfile(Task& task) {
  const Reference<File> out = file_of(task, task.arguments[0]);
  const Reference<File> in = file_of(task, task.arguments[1]);
  if (!out || !in || !in->may_read() || !out->may_write()) {
    return -EBADF;
  }
  if (in->node().type() != kRegularFile || (out->flags() & O_APPEND) != 0) {
    return -EINVAL;
  }
  const auto offset = read_offset(task, task.arguments[2], *in);
  if (!offset) {
    return as_error(offset);
  }
  const std::uint64_t size = std::min(task.arguments[3], kMaximumTransfer);
  const std::int64_t done = copy(task, *in, *offset, *out, nullptr, size);
  if (done <= 0) {
    return done;
  }
  const std::int64_t error =
      advance(task, task.arguments[2], *in, *offset + static_cast<std::uint64_t>(done));
  return error != 0 ? error : done;
}

std::int64_t call_copy_file_range(Task& task) {
  const Reference<File> in = file_of(task, task.arguments[0]);
  const Reference<File> out = file_of(task, task.arguments[2]);
  if (!in || !out) {
    return -EBADF;
  }
  const auto from = read_offset(task, task.arguments[1], *in);
  const auto to = read_offset(task, task.arguments[3], *out);
  if (!from || !to) {
    return !from ? as_error(from) : as_error(to);
  }
  if (static_cast<std::uint32_t>(task.arguments[5]) != 0) {
    return -EINVAL;
  }
  if (in->node().is_directory() || out->node().is_directory()) {
    return -EISDIR;
  }
  if (in->node().type() != kRegularFile || out->node().type() != kRegularFile) {
    return -EINVAL;
  }
  if (!in->may_read() || !out->may_write() || (out->flags() & O_APPEND) != 0) {
    return -EBADF;
  }
  if (in->node().device() != out->node().device()) {
    return -EXDEV;
  }
  const std::uint64_t available = in->size() - std::min(in->size(), *from);
  const std::uint64_t size = std::min({task.arguments[4], kMaximumTransfer, available});
  if (&in->node() == &out->node() && *from < *to + size && *to < *from + size) {
    return -EINVAL;
  }
  const std::int64_t done = copy(task, *in, *from, *out, &*to, size);
  if (done <= 0) {
    return done;
  }
  const auto count = static_cast<std::uint64_t>(done);
  const std::int64_t error = advance(task, task.arguments[1], *in, *from + count);
  const std::int64_t other_error = advance(task, task.arguments[3], *out, *to + count);
  return error != 0 ? error : other_error != 0 ? other_error : done;
}

// Whether a file may not be made so large (RLIMIT_FSIZE).
bool is_over_limit(const Task& task, const Node& node, std::uint64_t size) {
  return size > node.size() && size > task.process->limits[shim::kFileSizeLimit].current;
}

std::int64_t cut(Task& task, Node& node, std::uint64_t size) {
  if (is_over_limit(task, node, size)) {
    return too_large(task);
  }
  const auto changed = node.truncate(size);
  if (changed) {
    drop_set_ids(task, node);
    notify(node, NodeEvent::kModified);
  }
  return as_error(changed);
}

std::int64_t call_truncate(Task& task) {
  if (static_cast<std::int64_t>(task.arguments[1]) < 0) {
    return -EINVAL;
  }
  const auto node = find_node(task, kCurrentDirectory, task.arguments[0], true);
  if (!node) {
    return as_error(node);
  }
  if ((*node)->is_directory()) {
    return -EISDIR;
  }
  if ((*node)->type() != kRegularFile) {
    return -EINVAL;
  }
  if (is_read_only(**node)) {
    return -EROFS;
  }
  if (!is_allowed(task, **node, kMayWrite)) {
    return -EACCES;
  }
  return (*node)->executions != 0 ? -ETXTBSY : cut(task, **node, task.arguments[1]);
}

std::int64_t call_ftruncate(Task& task) {
  if (static_cast<std::int64_t>(task.arguments[1]) < 0) {
    return -EINVAL;
  }
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  if (!file->may_write() || file->node().type() != kRegularFile) {
    return -EINVAL;
  }
  return cut(task, file->node(), task.arguments[1]);
}

std::int64_t call_fallocate(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  const auto offset = static_cast<std::int64_t>(task.arguments[2]);
  const auto size = static_cast<std::int64_t>(task.arguments[3]);
  if (offset < 0 || size <= 0) {
    return -EINVAL;
  }
  AllocationKind kind = AllocationKind::kAllocate;
  switch (static_cast<std::uint32_t>(task.arguments[1])) {
    case 0:
      break;
    case FALLOC_FL_KEEP_SIZE:
      kind = AllocationKind::kKeepSize;
      break;
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      kind = AllocationKind::kPunchHole;
      break;
    case FALLOC_FL_ZERO_RANGE:
      kind = AllocationKind::kZero;
      break;
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      kind = AllocationKind::kZeroKeepSize;
      break;
    default:
      return -EOPNOTSUPP;
  }
  if (!file->may_write()) {
    return -EBADF;
  }
  const std::uint32_t type = file->node().type();
  if (type != kRegularFile) {
    return type == kNamedPipe ? -ESPIPE : type == kDirectory ? -EISDIR : -ENODEV;
  }
  if (kind == AllocationKind::kAllocate &&
      is_over_limit(task, file->node(), task.arguments[2] + static_cast<std::uint64_t>(size))) {
    return too_large(task);
  }
  const auto changed =
      file->node().allocate(kind, task.arguments[2], static_cast<std::uint64_t>(size));
  if (changed) {
    notify(file->node(), NodeEvent::kModified);
  }
  return as_error(changed);
}

std::int64_t call_fsync(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  const std::uint32_t type = file->node().type();
  if (type != kRegularFile && type != kDirectory && type != kBlockDevice) {
    return -EINVAL;
  }
  // Elsewhere what is written is in memory, where it stays.
  return is_on_disk(file->node()) ? disk_file_system().sync(task) : 0;
}
std::int64_t call_syncfs(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  return is_on_disk(file->node()) ? disk_file_system().sync(task) : 0;
}
std::int64_t call_sync(Task& task) {
  return disk_file_system().sync(task) == kBlocked ? kBlocked : 0;
}
std::int64_t call_sync_file_range(Task& task) {
  constexpr std::uint64_t kKnown = 7;
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  if ((static_cast<std::uint32_t>(task.arguments[3]) & ~kKnown) != 0 ||
      static_cast<std::int64_t>(task.arguments[1]) < 0 ||
      static_cast<std::int64_t>(task.arguments[2]) < 0) {
    return -EINVAL;
  }
  return file->is_seekable() ? 0 : -ESPIPE;
}

// Advice is taken note of by having everything in memory.
std::int64_t call_fadvise(Task& task) {
  constexpr std::uint32_t kLastAdvice = 5;
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  if (!file->is_seekable()) {
    return -ESPIPE;
  }
  return static_cast<std::uint32_t>(task.arguments[3]) > kLastAdvice ||
                 static_cast<std::int64_t>(task.arguments[2]) < 0
             ? -EINVAL
             : 0;
}
std::int64_t call_readahead(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  if (!file || !file->may_read()) {
    return -EBADF;
  }
  return file->node().type() == kRegularFile ? 0 : -EINVAL;
}

constexpr CallEntry kCalls[] = {
    {__NR_sendfile, call_sendfile},   {__NR_copy_file_range, call_copy_file_range},
    {__NR_truncate, call_truncate},   {__NR_ftruncate, call_ftruncate},
    {__NR_fallocate, call_fallocate}, {__NR_fsync, call_fsync},
    {__NR_fdatasync, call_fsync},     {__NR_sync, call_sync},
    {__NR_syncfs, call_syncfs},       {__NR_sync_file_range, call_sync_file_range},
    {__NR_fadvise64, call_fadvise},   {__NR_readahead, call_readahead},
};

}  // namespace

std::span<const CallEntry> copy_calls() {
  return kCalls;
}

}  // namespace linux_server
