#include <asm/fcntl.h>
#include <asm/unistd.h>

#include <algorithm>
#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/ipc/message_queue.h"
#include "guest-kernel/linux/server/time_value.h"

// Message queues of POSIX: mq_overview(7). The C library has taken the slash off their names.
namespace linux_server {
namespace {

using Message = MessageQueue::Message;

constexpr std::uint64_t kMaximumQueues = 256;  // /proc/sys/fs/mqueue
constexpr std::uint64_t kUsualMessages = 10;
constexpr std::uint64_t kUsualMessageSize = 8192;
constexpr std::uint64_t kMostMessages = 65536;  // for those with CAP_SYS_RESOURCE
constexpr std::uint64_t kMostMessageSize = 16 * 1024 * 1024;

// struct mq_attr
struct UserAttributes {
  std::int64_t flags;
  std::int64_t messages;
  std::int64_t message_size;
  std::int64_t current;
  std::int64_t reserved[4];
};
static_assert(sizeof(UserAttributes) == 64);

// EACCES: a name with a slash, or of a directory.
Result<std::string_view> read_name(Task& task, PathText& path) {
  if (const auto read = read_path(task, task.arguments[0], path); !read) {
    return std::unexpected(read.error());
  }
  if (path.text.empty()) {
    return fail(ENOENT);
  }
  if (path.text.size() > kMaximumName) {
    return fail(ENAMETOOLONG);
  }
  const bool is_place = path.text == "." || path.text == "..";
  return is_place || path.text.find('/') != std::string_view::npos
             ? fail(EACCES)
             : Result<std::string_view>(path.text);
}

Result<MessageQueue::Limits> limits_of(const Process& process, const UserAttributes* wanted) {
  MessageQueue::Limits limits;
  if (wanted == nullptr) {
    return limits;
  }
  const bool is_free = process.credentials.has(Capability::kResources);
  const auto messages = static_cast<std::uint64_t>(wanted->messages);
  const auto size = static_cast<std::uint64_t>(wanted->message_size);
  if (wanted->messages <= 0 || wanted->message_size <= 0 ||
      messages > (is_free ? kMostMessages : kUsualMessages) ||
      size > (is_free ? kMostMessageSize : kUsualMessageSize)) {
    return fail(EINVAL);
  }
  limits.messages = messages;
  limits.message_size = size;
  return limits;
}

Result<Reference<MessageQueue>> make_queue(Task& task, std::string_view name,
                                           const UserAttributes* wanted) {
  Process& process = *task.process;
  if (MessageQueue::count() >= kMaximumQueues && !process.credentials.has(Capability::kResources)) {
    return fail(ENOSPC);
  }
  const auto limits = limits_of(process, wanted);
  if (!limits) {
    return std::unexpected(limits.error());
  }
  const std::uint64_t allowed = process.limits[shim::kMessageQueueLimit].current;
  if (MessageQueue::charged_to(process.credentials.user) + limits->charge() > allowed) {
    return fail(EMFILE);
  }
  Name copy = Name::copy(name);
  const auto mode = static_cast<std::uint32_t>(task.arguments[2]) & 0777 & ~process.file_mode_mask;
  auto* queue =
      copy.is_null() ? nullptr : new MessageQueue(std::move(copy), mode, *limits, process);
  if (queue == nullptr) {
    return fail(ENOMEM);
  }
  Reference<MessageQueue> made(queue);
  queue->link();
  return made;
}

// The queue that mq_open(3) means, made if it is to be.
Result<Reference<MessageQueue>> find_or_make(Task& task, std::string_view name,
                                             const UserAttributes* wanted) {
  const auto flags = static_cast<std::uint32_t>(task.arguments[1]);
  MessageQueue* existing = MessageQueue::find(name);
  if (existing == nullptr) {
    return (flags & O_CREAT) != 0 ? make_queue(task, name, wanted) : fail(ENOENT);
  }
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
    return fail(EEXIST);
  }
  constexpr std::array<std::uint32_t, 3> kRights = {kMayRead, kMayWrite, kMayRead | kMayWrite};
  if ((flags & O_ACCMODE) == O_ACCMODE) {
    return fail(EINVAL);
  }
  return is_allowed(task, *existing, kRights[flags & O_ACCMODE])
             ? Result<Reference<MessageQueue>>(Reference<MessageQueue>(existing))
             : fail(EACCES);
}

std::int64_t call_mq_open(Task& task) {
  UserAttributes attributes = {};
  if (task.arguments[3] != 0) {
    const auto given = task.process->space().read_value<UserAttributes>(task.arguments[3]);
    if (!given) {
      return -EFAULT;
    }
    attributes = *given;
  }
  PathText path;
  const auto name = read_name(task, path);
  if (!name) {
    return as_error(name);
  }
  if (!task.process->descriptors().has_room()) {
    return -EMFILE;
  }
  const auto queue = find_or_make(task, *name, task.arguments[3] != 0 ? &attributes : nullptr);
  if (!queue) {
    return as_error(queue);
  }
  const auto flags =
      static_cast<std::uint32_t>(task.arguments[1]) & (O_ACCMODE | std::uint32_t{O_NONBLOCK});
  const Reference<File> file(new MessageQueueFile(**queue, flags));
  return file ? task.process->descriptors().add(file, true) : -ENOMEM;
}

std::int64_t call_mq_unlink(Task& task) {
  PathText path;
  const auto name = read_name(task, path);
  if (!name) {
    return as_error(name);
  }
  MessageQueue* queue = MessageQueue::find(*name);
  if (queue == nullptr) {
    return -ENOENT;
  }
  if (!is_owner(task, *queue)) {
    return -EPERM;  // their directory is sticky
  }
  queue->unlink();
  return 0;
}

Result<Reference<MessageQueueFile>> find_queue(Task& task) {
  const Reference<File> file = file_of(task, task.arguments[0]);
  return file && file->kind() == FileKind::kMessageQueue
             ? Result<Reference<MessageQueueFile>>(
                   Reference<MessageQueueFile>(static_cast<MessageQueueFile*>(file.get())))
             : fail(EBADF);
}

// The time until which mq_timedsend(3) and mq_timedreceive(3) wait. EFAULT, EINVAL.
std::int64_t read_deadline(Task& task) {
  if (task.resumed || task.arguments[4] == 0) {
    return 0;
  }
  const auto time = read_time_spec(task.process->space(), task.arguments[4]);
  if (!time) {
    return as_error(time);
  }
  const std::uint64_t origin = guest::time_page().realtime_offset;
  task.deadline = *time > origin ? *time - origin : 0;
  return 0;
}

std::int64_t wait(Task& task, MessageQueueFile& file) {
  if ((file.flags() & O_NONBLOCK) != 0) {
    return -EAGAIN;
  }
  return task.is_due() ? -ETIMEDOUT : task.wait(file.queue().changed());
}

std::int64_t call_mq_timedsend(Task& task) {
  if (const std::int64_t error = read_deadline(task); error != 0) {
    return error;
  }
  const auto priority = static_cast<std::uint32_t>(task.arguments[3]);
  if (priority >= MessageQueue::kPriorities) {
    return -EINVAL;
  }
  const auto file = find_queue(task);
  if (!file || !(*file)->may_write()) {
    return -EBADF;
  }
  MessageQueue& queue = (*file)->queue();
  if (task.arguments[2] > queue.limits().message_size) {
    return -EMSGSIZE;
  }
  if (queue.is_full()) {
    return wait(task, **file);
  }
  Message* const message = Message::make(priority, task.arguments[2]);
  if (message == nullptr) {
    return -ENOMEM;
  }
  if (!task.process->space().read(task.arguments[1], message->bytes())) {
    Message::release(message);
    return -EFAULT;
  }
  queue.add(*message, *task.process);
  return 0;
}

std::int64_t call_mq_timedreceive(Task& task) {
  if (const std::int64_t error = read_deadline(task); error != 0) {
    return error;
  }
  const auto file = find_queue(task);
  if (!file || !(*file)->may_read()) {
    return -EBADF;
  }
  MessageQueue& queue = (*file)->queue();
  if (task.arguments[2] < queue.limits().message_size) {
    return -EMSGSIZE;
  }
  Message* const message = queue.take();
  if (message == nullptr) {
    return wait(task, **file);
  }
  AddressSpace& space = task.process->space();
  const bool given =
      (task.arguments[3] == 0 || space.write_value(task.arguments[3], message->priority)) &&
      space.write(task.arguments[1], message->bytes());
  const auto size = static_cast<std::int64_t>(message->size);
  Message::release(message);
  return given ? size : -EFAULT;
}

std::int64_t call_mq_notify(Task& task) {
  constexpr std::int32_t kSignal = 0;  // SIGEV_SIGNAL
  constexpr std::int32_t kNone = 1;
  constexpr std::int32_t kThread = 2;
  struct UserEvent {
    std::uint64_t value;
    std::int32_t signal;
    std::int32_t kind;
  } event = {};
  Process& process = *task.process;
  if (task.arguments[1] != 0) {
    const auto given = process.space().read_value<UserEvent>(task.arguments[1]);
    if (!given) {
      return -EFAULT;
    }
    event = *given;
    const bool is_known = event.kind == kSignal || event.kind == kNone || event.kind == kThread;
    if (!is_known ||
        (event.kind == kSignal && static_cast<std::uint32_t>(event.signal) > Process::kSignals)) {
      return -EINVAL;
    }
    if (event.kind == kThread) {
      return -EBADF;  // it names a socket of a kind that is not there
    }
  }
  const auto file = find_queue(task);
  if (!file) {
    return as_error(file);
  }
  MessageQueue& queue = (*file)->queue();
  const bool is_own = queue.has_notification() && queue.notification.process->process() == &process;
  if (task.arguments[1] == 0) {
    if (is_own) {
      queue.notification = {};
    }
    return 0;
  }
  if (queue.has_notification()) {
    return -EBUSY;
  }
  if (!process.handle) {
    process.handle = Reference<ProcessHandle>(new ProcessHandle(process));
  }
  if (!process.handle) {
    return -ENOMEM;
  }
  const auto signal = event.kind == kSignal ? static_cast<std::uint32_t>(event.signal) : 0;
  queue.notification = {process.handle, file->get(), signal, event.value};
  return 0;
}

std::int64_t call_mq_getsetattr(Task& task) {
  AddressSpace& space = task.process->space();
  UserAttributes wanted = {};
  if (task.arguments[1] != 0) {
    const auto given = space.read_value<UserAttributes>(task.arguments[1]);
    if (!given) {
      return -EFAULT;
    }
    wanted = *given;
    if ((wanted.flags & ~std::int64_t{O_NONBLOCK}) != 0) {
      return -EINVAL;
    }
  }
  const auto file = find_queue(task);
  if (!file) {
    return as_error(file);
  }
  const MessageQueue& queue = (*file)->queue();
  const UserAttributes old = {static_cast<std::int64_t>((*file)->flags() & O_NONBLOCK),
                              static_cast<std::int64_t>(queue.limits().messages),
                              static_cast<std::int64_t>(queue.limits().message_size),
                              static_cast<std::int64_t>(queue.messages()),
                              {}};
  if (task.arguments[1] != 0) {
    (*file)->set_flags(((*file)->flags() & ~std::uint32_t{O_NONBLOCK}) |
                       static_cast<std::uint32_t>(wanted.flags));
  }
  return task.arguments[2] == 0 || space.write_value(task.arguments[2], old) ? 0 : -EFAULT;
}

constexpr CallEntry kCalls[] = {
    {__NR_mq_open, call_mq_open},           {__NR_mq_unlink, call_mq_unlink},
    {__NR_mq_timedsend, call_mq_timedsend}, {__NR_mq_timedreceive, call_mq_timedreceive},
    {__NR_mq_notify, call_mq_notify},       {__NR_mq_getsetattr, call_mq_getsetattr},
};

}  // namespace

std::span<const CallEntry> message_queue_calls() {
  return kCalls;
}

}  // namespace linux_server
