#include <asm/fcntl.h>
#include <asm/unistd.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/ipc/io_vectors.h"
#include "guest-kernel/linux/server/ipc/pipe.h"

// Making pipes, and moving bytes through them without a program's memory: splice(2), tee(2),
// vmsplice(2).
namespace linux_server {
namespace {

constexpr std::uint32_t kMove = 1;         // SPLICE_F_MOVE
constexpr std::uint32_t kNonblocking = 2;  // SPLICE_F_NONBLOCK
constexpr std::uint32_t kMore = 4;         // SPLICE_F_MORE
constexpr std::uint32_t kGift = 8;         // SPLICE_F_GIFT
constexpr std::uint32_t kSpliceFlags = kMove | kNonblocking | kMore | kGift;
constexpr std::uint32_t kDirect = 040000;  // O_DIRECT: packets, which this has not

std::int64_t make_pipe(Task& task, std::uint64_t address, std::uint32_t flags) {
  if ((flags & ~std::uint32_t{O_CLOEXEC | O_NONBLOCK | kDirect}) != 0 || (flags & kDirect) != 0) {
    return -EINVAL;
  }
  Reference<Pipe> pipe(new Pipe());
  const Reference<AnonymousNode> node = make_pipe_node();
  if (!pipe || !node || !node->set_attachment(pipe)) {
    return -ENOMEM;
  }
  const std::uint32_t status = flags & O_NONBLOCK;
  Reference<File> reader(new PipeFile(*node, O_RDONLY | status, pipe, node));
  Reference<File> writer(new PipeFile(*node, O_WRONLY | status, pipe, node));
  if (!reader || !writer) {
    return -ENOMEM;
  }
  DescriptorTable& table = task.process->descriptors();
  const bool close_on_exec = (flags & O_CLOEXEC) != 0;
  const std::int64_t first = table.add(reader, close_on_exec);
  const std::int64_t second = first < 0 ? first : table.add(writer, close_on_exec);
  if (second < 0) {
    table.close(static_cast<std::uint64_t>(first));
    return second;
  }
  const std::array<std::int32_t, 2> numbers = {static_cast<std::int32_t>(first),
                                               static_cast<std::int32_t>(second)};
  if (!task.process->space().write_value(address, numbers)) {
    table.close(static_cast<std::uint64_t>(first));
    table.close(static_cast<std::uint64_t>(second));
    return -EFAULT;
  }
  return 0;
}

std::int64_t call_pipe(Task& task) {
  return make_pipe(task, task.arguments[0], 0);
}
std::int64_t call_pipe2(Task& task) {
  return make_pipe(task, task.arguments[0], static_cast<std::uint32_t>(task.arguments[1]));
}

// One side of a splice.
struct SpliceEnd {
  Reference<File> file;
  PipeFile* pipe = nullptr;
  std::uint64_t offset_address = 0;
  std::uint64_t offset = 0;

  bool waits(std::uint32_t flags) const {
    return (flags & kNonblocking) == 0 && (file->flags() & O_NONBLOCK) == 0;
  }
};

Result<SpliceEnd> find_end(Task& task, std::uint64_t descriptor, std::uint64_t offset_address) {
  SpliceEnd end;
  end.file = task.process->descriptors().find(static_cast<std::uint32_t>(descriptor));
  if (!end.file) {
    return fail(EBADF);
  }
  end.pipe = as_pipe(end.file.get());
  end.offset_address = offset_address;
  end.offset = end.file->position();
  return end;
}

// After it is known that the call makes sense: the offsets.
Result<void> read_offset(Task& task, SpliceEnd& end) {
  if (end.offset_address == 0) {
    return {};
  }
  if (!end.file->is_seekable()) {
    return fail(ESPIPE);
  }
  const auto offset = task.process->space().read_value<std::uint64_t>(end.offset_address);
  if (!offset) {
    return fail(EFAULT);
  }
  end.offset = *offset;
  return static_cast<std::int64_t>(*offset) < 0 ? Result<void>(fail(EINVAL)) : Result<void>();
}

std::int64_t finish_offset(Task& task, SpliceEnd& end, std::int64_t count) {
  const std::uint64_t offset = end.offset + static_cast<std::uint64_t>(count);
  if (end.offset_address != 0) {
    return task.process->space().write_value(end.offset_address, offset) ? count : -EFAULT;
  }
  if (end.file->is_seekable()) {
    end.file->set_position(offset);
  }
  return count;
}

// 0: `pipe` has something to give; else what the call returns.
std::int64_t wait_for_bytes(Task& task, const SpliceEnd& from, std::uint32_t flags, bool& end) {
  Pipe& pipe = from.pipe->pipe();
  end = pipe.bytes().empty() && pipe.writers() == 0;
  if (!pipe.bytes().empty() || end) {
    return 0;
  }
  return from.waits(flags) ? task.wait(pipe.changed()) : -EAGAIN;
}
std::int64_t wait_for_room(Task& task, const SpliceEnd& to, std::uint32_t flags) {
  Pipe& pipe = to.pipe->pipe();
  if (pipe.bytes().room() != 0 || pipe.readers() == 0) {
    return 0;
  }
  return to.waits(flags) ? task.wait(pipe.changed()) : -EAGAIN;
}

// Copies up to `size` bytes of a pipe to another file; takes what was copied if `consume`.
std::int64_t copy_out(Task& task, const SpliceEnd& from, SpliceEnd& to, std::uint64_t size,
                      bool consume) {
  ByteQueue& bytes = from.pipe->pipe().bytes();
  const std::uint64_t wanted = std::min<std::uint64_t>(size, bytes.size());
  std::uint64_t done = 0;
  std::int64_t result = 0;
  while (done < wanted) {
    auto piece = bytes.piece(consume ? 0 : done);
    piece = piece.first(std::min<std::uint64_t>(piece.size(), wanted - done));
    result =
        to.pipe != nullptr || !to.file->is_seekable()
            ? to.file->write_bytes(task, piece)
            : to.file->write(
                  task, UserBuffer(std::span(const_cast<std::byte*>(piece.data()), piece.size())),
                  to.offset + done);
    if (result <= 0) {
      break;
    }
    if (consume) {
      bytes.consume(static_cast<std::size_t>(result));
    }
    done += static_cast<std::uint64_t>(result);
  }
  if (done == 0) {
    return result;
  }
  if (consume) {
    from.pipe->pipe().changed().wake(kWritable);
  }
  return static_cast<std::int64_t>(done);
}

// Reads up to `size` bytes of a file right into a pipe.
std::int64_t copy_in(Task& task, const SpliceEnd& from, SpliceEnd& to, std::uint64_t size) {
  Pipe& pipe = to.pipe->pipe();
  std::uint64_t done = 0;
  std::int64_t result = 0;
  while (done < size && pipe.bytes().room() != 0) {
    std::span<std::byte> piece = pipe.bytes().free_piece();
    piece = piece.first(std::min<std::uint64_t>(piece.size(), size - done));
    result = piece.empty() ? -ENOMEM : from.file->read(task, UserBuffer(piece), from.offset + done);
    if (result <= 0) {
      break;
    }
    pipe.bytes().append(static_cast<std::size_t>(result));
    done += static_cast<std::uint64_t>(result);
    if (static_cast<std::uint64_t>(result) < piece.size()) {
      break;
    }
  }
  if (done == 0) {
    return result;
  }
  pipe.changed().wake(kReadable);
  return static_cast<std::int64_t>(done);
}

std::int64_t splice_out(Task& task, const SpliceEnd& from, SpliceEnd& to, std::uint64_t size,
                        std::uint32_t flags) {
  bool at_end = false;
  std::int64_t result = wait_for_bytes(task, from, flags, at_end);
  if (result == 0 && to.pipe != nullptr) {
    result = at_end ? 0 : wait_for_room(task, to, flags);
  }
  return result != 0 || at_end ? result : copy_out(task, from, to, size, true);
}

std::int64_t call_splice(Task& task) {
  const auto flags = static_cast<std::uint32_t>(task.arguments[5]);
  const std::uint64_t size = std::min(task.arguments[4], kMaximumTransfer);
  if ((flags & ~kSpliceFlags) != 0) {
    return -EINVAL;
  }
  if (size == 0) {
    return 0;
  }
  auto from = find_end(task, task.arguments[0], task.arguments[1]);
  auto to = find_end(task, task.arguments[2], task.arguments[3]);
  if (!from || !to || !from->file->may_read() || !to->file->may_write()) {
    return -EBADF;
  }
  if (from->pipe == nullptr && to->pipe == nullptr) {
    return -EINVAL;
  }
  if ((from->pipe != nullptr && from->offset_address != 0) ||
      (to->pipe != nullptr && to->offset_address != 0)) {
    return -ESPIPE;
  }
  if (from->pipe != nullptr && to->pipe != nullptr && &from->pipe->pipe() == &to->pipe->pipe()) {
    return -EINVAL;
  }
  for (SpliceEnd* end : {&*from, &*to}) {
    if (const auto offset = read_offset(task, *end); !offset) {
      return -offset.error().number;
    }
  }
  if (to->pipe == nullptr && (to->file->flags() & O_APPEND) != 0) {
    return -EINVAL;
  }
  if (from->pipe != nullptr) {
    const std::int64_t count = splice_out(task, *from, *to, size, flags);
    return count > 0 && to->pipe == nullptr ? finish_offset(task, *to, count) : count;
  }
  if (const std::int64_t wait = wait_for_room(task, *to, flags); wait != 0) {
    return wait;
  }
  if (to->pipe->pipe().readers() == 0) {
    return to->file->write_bytes(task, {});
  }
  const std::int64_t count = copy_in(task, *from, *to, size);
  return count > 0 ? finish_offset(task, *from, count) : count;
}

std::int64_t call_tee(Task& task) {
  const auto flags = static_cast<std::uint32_t>(task.arguments[3]);
  const std::uint64_t size = std::min(task.arguments[2], kMaximumTransfer);
  if ((flags & ~kSpliceFlags) != 0) {
    return -EINVAL;
  }
  if (size == 0) {
    return 0;
  }
  auto from = find_end(task, task.arguments[0], 0);
  auto to = find_end(task, task.arguments[1], 0);
  if (!from || !to || !from->file->may_read() || !to->file->may_write()) {
    return -EBADF;
  }
  if (from->pipe == nullptr || to->pipe == nullptr || &from->pipe->pipe() == &to->pipe->pipe()) {
    return -EINVAL;
  }
  bool at_end = false;
  std::int64_t result = wait_for_bytes(task, *from, flags, at_end);
  if (result == 0 && !at_end) {
    result = wait_for_room(task, *to, flags);
  }
  return result != 0 || at_end ? result : copy_out(task, *from, *to, size, false);
}

// A program's memory into a pipe, or out of one.
std::int64_t call_vmsplice(Task& task) {
  const auto flags = static_cast<std::uint32_t>(task.arguments[3]);
  if ((flags & ~kSpliceFlags) != 0) {
    return -EINVAL;
  }
  const auto end = find_end(task, task.arguments[0], 0);
  if (!end || end->pipe == nullptr) {
    return -EBADF;
  }
  IoVectors vectors;
  AddressSpace& space = task.process->space();
  if (const auto read = vectors.read(space, task.arguments[1], task.arguments[2]); !read) {
    return -read.error().number;
  }
  if (vectors.size() == 0) {
    return 0;
  }
  bool at_end = false;
  if (end->file->may_write()) {
    const std::int64_t wait = wait_for_room(task, *end, flags);
    return wait != 0 ? wait : end->file->write(task, vectors.buffer(space), 0);
  }
  const std::int64_t wait = wait_for_bytes(task, *end, flags, at_end);
  return wait != 0 || at_end ? wait : end->file->read(task, vectors.buffer(space), 0);
}

constexpr CallEntry kCalls[] = {
    {__NR_pipe, call_pipe}, {__NR_pipe2, call_pipe2},       {__NR_splice, call_splice},
    {__NR_tee, call_tee},   {__NR_vmsplice, call_vmsplice},
};

}  // namespace

std::span<const CallEntry> pipe_calls() {
  return kCalls;
}

}  // namespace linux_server
