#include "guest-kernel/linux/server/ipc/pipe.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/signals.h"

namespace linux_server {

void Pipe::open_end(bool read, bool write) {
  readers_ += read ? 1 : 0;
  writers_ += write ? 1 : 0;
}

void Pipe::close_end(bool read, bool write) {
  readers_ -= read ? 1 : 0;
  writers_ -= write ? 1 : 0;
  if (readers_ == 0 && writers_ == 0) {
    bytes_.clear();  // a named pipe's next users find it empty
  }
  changed_.wake();
}

PipeFile::PipeFile(Node& node, std::uint32_t flags, Reference<Pipe> pipe,
                   Reference<AnonymousNode> owned)
    : File(node, flags), owned_node_(std::move(owned)), pipe_(std::move(pipe)) {
  pipe_->open_end(may_read(), may_write());
}

PipeFile::~PipeFile() {
  pipe_->close_end(may_read(), may_write());
}

std::int64_t PipeFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (buffer.size() == 0) {
    return 0;
  }
  ByteQueue& bytes = pipe_->bytes();
  if (bytes.empty()) {
    if (pipe_->writers() == 0) {
      return 0;
    }
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(pipe_->changed());
  }
  std::uint64_t done = 0;
  while (done < buffer.size() && !bytes.empty()) {
    const std::int64_t count = buffer.fill(bytes.piece(), done);
    if (count <= 0) {
      if (done == 0) {
        return -EFAULT;
      }
      break;
    }
    bytes.consume(static_cast<std::size_t>(count));
    done += static_cast<std::uint64_t>(count);
  }
  pipe_->changed().wake(kWritable);
  return static_cast<std::int64_t>(done);
}

std::int64_t PipeFile::put(const UserBuffer& buffer, std::uint64_t offset) {
  ByteQueue& bytes = pipe_->bytes();
  std::int64_t done = 0;
  while (offset < buffer.size() && bytes.room() != 0) {
    const std::span<std::byte> to = bytes.free_piece();
    std::int64_t count = to.empty() ? -ENOMEM : buffer.take(to, offset);
    const std::uint64_t wanted = std::min<std::uint64_t>(to.size(), buffer.size() - offset);
    if (count > 0 && static_cast<std::uint64_t>(count) < wanted) {
      count = -EFAULT;  // as on Linux, nothing of a piece that is not all there
    }
    if (count <= 0) {
      return done != 0 ? done : count;
    }
    bytes.append(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
    done += count;
  }
  return done;
}

std::int64_t PipeFile::write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (!task.resumed) {
    task.progress = 0;
  }
  const std::int64_t before = task.progress;
  if (buffer.size() == 0) {
    return 0;
  }
  if (pipe_->readers() == 0) {
    raise_signal(task, kSignalPipe);
    return before != 0 ? before : -EPIPE;
  }
  // What is at most PIPE_BUF goes in as one, or waits.
  const bool fits = buffer.size() > Pipe::kAtomicSize || pipe_->bytes().room() >= buffer.size();
  const std::int64_t count = fits ? put(buffer, static_cast<std::uint64_t>(before)) : 0;
  if (count > 0) {
    pipe_->changed().wake(kReadable);
  }
  const std::int64_t done = before + std::max<std::int64_t>(count, 0);
  if (count < 0) {
    return done != 0 ? done : count;
  }
  // Where room is left over, the rest of the buffer cannot be read.
  if (static_cast<std::uint64_t>(done) == buffer.size() ||
      (count > 0 && pipe_->bytes().room() != 0)) {
    return done;
  }
  if ((flags() & O_NONBLOCK) != 0) {
    return done != 0 ? done : -EAGAIN;
  }
  task.progress = done;
  if (task.interrupted && done != 0) {
    return done;
  }
  return task.wait(pipe_->changed());
}

std::int64_t PipeFile::write_bytes(Task& task, std::span<const std::byte> bytes) {
  if (pipe_->readers() == 0) {
    raise_signal(task, kSignalPipe);
    return -EPIPE;
  }
  const std::size_t count = pipe_->bytes().write(bytes);
  if (count == 0 && !bytes.empty()) {
    if (pipe_->bytes().room() != 0) {
      return -ENOMEM;
    }
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(pipe_->changed());
  }
  pipe_->changed().wake(kReadable);
  return static_cast<std::int64_t>(count);
}

std::int64_t PipeFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  if (request != FIONREAD) {
    return -ENOTTY;
  }
  const auto size = static_cast<std::uint32_t>(pipe_->bytes().size());
  return task.process->space().write_value(argument, size) ? 0 : -EFAULT;
}

std::uint32_t PipeFile::readiness() const {
  std::uint32_t ready = 0;
  if (may_read()) {
    ready |= pipe_->bytes().empty() ? 0u : kReadable;
    ready |= pipe_->writers() == 0 ? kHangUp : 0u;
  }
  if (may_write()) {
    ready |= pipe_->has_room() ? kWritable : 0u;
    ready |= pipe_->readers() == 0 ? kError : 0u;
  }
  return ready;
}

std::int64_t PipeFile::set_capacity(std::uint64_t capacity) {
  if (capacity > (1u << 31)) {
    return -EINVAL;
  }
  const std::size_t wanted =
      std::bit_ceil(std::max<std::size_t>(static_cast<std::size_t>(capacity), ByteQueue::kPage));
  if (wanted > Pipe::kMaximumCapacity) {
    return -EPERM;
  }
  if (wanted < pipe_->bytes().size()) {
    return -EBUSY;
  }
  if (!pipe_->bytes().set_capacity(wanted)) {
    return -ENOMEM;
  }
  pipe_->changed().wake(kWritable);
  return this->capacity();
}

PipeFile* as_pipe(File* file) {
  return file != nullptr && file->kind() == FileKind::kPipe ? static_cast<PipeFile*>(file)
                                                            : nullptr;
}

std::int64_t set_pipe_capacity(File& file, std::uint64_t capacity) {
  PipeFile* const pipe = as_pipe(&file);
  return pipe != nullptr ? pipe->set_capacity(capacity) : -EBADF;
}

std::int64_t pipe_capacity(File& file) {
  const PipeFile* const pipe = as_pipe(&file);
  return pipe != nullptr ? pipe->capacity() : -EBADF;
}

}  // namespace linux_server
