#include <asm/fcntl.h>

#include "guest-kernel/linux/server/ipc/pipe.h"

// fifo(7): pipes that are found by their node.
namespace linux_server {
namespace {

// A named pipe that is open or that somebody waits to open. Kept in a list, and dropped the next
// time that anybody looks after its last user has gone.
struct NamedPipe {
  const Node* node;
  Reference<Pipe> pipe;
  WaitQueue readers;  // who wait for a writer
  WaitQueue writers;
  NamedPipe* next;

  bool is_used() const {
    return pipe->readers() != 0 || pipe->writers() != 0 || !readers.empty() || !writers.empty();
  }
};

constinit NamedPipe* first_pipe = nullptr;

NamedPipe* find(const Node& node) {
  NamedPipe* found = nullptr;
  for (NamedPipe** link = &first_pipe; *link != nullptr;) {
    NamedPipe* const pipe = *link;
    if (!pipe->is_used()) {
      *link = pipe->next;
      delete pipe;
      continue;
    }
    if (pipe->node == &node) {
      found = pipe;
    }
    link = &pipe->next;
  }
  return found;
}

NamedPipe* find_or_make(const Node& node) {
  if (NamedPipe* found = find(node); found != nullptr) {
    return found;
  }
  Reference<Pipe> pipe(new Pipe());
  auto* named = pipe ? new NamedPipe{&node, pipe, {}, {}, first_pipe} : nullptr;
  if (named != nullptr) {
    first_pipe = named;
  }
  return named;
}

// The one of a node that pipe(2) made, which /proc/self/fd leads to; null: it is a named pipe's.
Pipe* unnamed_pipe(const Node& node) {
  return static_cast<Pipe*>(node.attachment().get());
}

}  // namespace

// Those who wait for one another are woken together and make their calls again before anybody else
// is served: a reader that is still in `readers` counts as one.
std::int64_t wait_for_named_pipe(Task& task, const Node& node, std::uint32_t flags) {
  const std::uint32_t access = flags & O_ACCMODE;
  const bool waits = (flags & O_NONBLOCK) == 0;
  if (unnamed_pipe(node) != nullptr || access == O_RDWR || (flags & O_PATH) != 0 ||
      (access == O_RDONLY && !waits)) {
    return 0;
  }
  NamedPipe* const named = find_or_make(node);
  if (named == nullptr) {
    return -ENOMEM;
  }
  if (access == O_RDONLY) {
    return named->pipe->writers() != 0 || !named->writers.empty() ? 0 : task.wait(named->readers);
  }
  if (named->pipe->readers() != 0 || !named->readers.empty()) {
    return 0;
  }
  return waits ? task.wait(named->writers) : -ENXIO;
}

Result<Reference<File>> open_named_pipe(Node& node, std::uint32_t flags) {
  if (Pipe* const pipe = unnamed_pipe(node); pipe != nullptr) {
    Reference<File> opened(new PipeFile(node, flags, Reference<Pipe>(pipe)));
    return opened ? Result<Reference<File>>(std::move(opened)) : fail(ENOMEM);
  }
  NamedPipe* const named = find_or_make(node);
  auto* file = named != nullptr ? new PipeFile(node, flags, named->pipe) : nullptr;
  if (file == nullptr) {
    return fail(ENOMEM);
  }
  Reference<File> opened(file);
  if (file->may_read()) {
    named->writers.wake();
  }
  if (file->may_write()) {
    named->readers.wake();
  }
  return opened;
}

}  // namespace linux_server
