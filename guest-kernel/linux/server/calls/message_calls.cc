#include <asm/unistd.h>
#include <linux/msg.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <new>

#include "guest-kernel/linux/server/calls/system_v_calls.h"
#include "guest-kernel/linux/server/ipc/call_deadline.h"
#include "guest-kernel/linux/server/ipc/system_v.h"
#include "guest-kernel/linux/server/memory_share.h"

// Message queues of System V: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kMaximumQueues = 1024;
constexpr std::uint64_t kMaximumMessage = 8192;       // MSGMAX
constexpr std::uint64_t kQueueBytes = 16384;          // MSGMNB
constexpr std::uint64_t kMaximumBytes = 1024 * 1024;  // whatever root wants
constexpr std::int64_t kSecond = 1'000'000'000;

constinit std::array<IpcTable::Slot, kMaximumQueues> slots = {};
constinit IpcTable queues{slots};

std::int64_t now() {
  return file_time() / kSecond;
}

// Its bytes follow.
struct Message {
  Message* next;
  std::int64_t type;
  std::uint64_t size;

  std::span<std::byte> bytes() { return {reinterpret_cast<std::byte*>(this + 1), size}; }

  static Message* make(std::int64_t type, std::uint64_t size) {
    void* const memory = system_v_share.allocate(sizeof(Message) + size);
    return memory == nullptr ? nullptr : new (memory) Message{nullptr, type, size};
  }
  static void release(Message* message) {
    system_v_share.release(message, sizeof(Message) + message->size);
  }
};

struct MessageQueue : IpcObject {
  ~MessageQueue() override {
    queues.remove(*this);
    while (first != nullptr) {
      Message::release(take(&first));
    }
    receivers.wake();
    senders.wake();
  }

  void append(Message& message) {
    *end = &message;
    end = &message.next;
    bytes += message.size;
    ++count;
  }

  // Takes out what `link` leads to.
  Message* take(Message** link) {
    Message* const message = *link;
    *link = message->next;
    end = message->next == nullptr ? link : end;
    bytes -= message->size;
    --count;
    return message;
  }

  Message* first = nullptr;
  Message** end = &first;  // where the next one is linked
  std::uint64_t bytes = 0, count = 0, limit = kQueueBytes;
  WaitQueue receivers;
  WaitQueue senders;
  std::int64_t sent = 0, received = 0, changed = now();
  std::uint32_t last_sender = 0, last_receiver = 0;
};

MessageQueue* find(std::uint64_t id) {
  return static_cast<MessageQueue*>(queues.find(static_cast<std::uint32_t>(id)));
}

std::int64_t call_msgget(Task& task) {
  const auto key = static_cast<std::uint32_t>(task.arguments[0]);
  const std::uint64_t flags = task.arguments[1];
  if (const IpcObject* existing = queues.find_key(key); existing != nullptr) {
    const auto checked = check_existing(*existing, flags, task.process->credentials);
    return checked ? std::int64_t{existing->id} : -checked.error().number;
  }
  if (key != IPC_PRIVATE && (flags & IPC_CREAT) == 0) {
    return -ENOENT;
  }
  auto* queue = new (std::nothrow) MessageQueue();
  const auto added = queue == nullptr ? fail(ENOMEM) : queues.add(*queue);
  if (!added) {
    delete queue;
    return -added.error().number;
  }
  queue->make_permissions(key, flags, task.process->credentials);
  return queue->id;
}

// What a call does that finds no room or no message: `nothing` where it may not wait.
std::int64_t wait_for(Task& task, WaitQueue& waiting, std::uint64_t flags, std::int64_t nothing) {
  if ((flags & IPC_NOWAIT) != 0) {
    return nothing;
  }
  set_deadline(task, nullptr);
  return task.interrupted ? -EINTR : task.wait(waiting);
}

// Whether msgrcv(2) with `wanted` and `flags` takes messages of the type.
bool takes(std::int64_t wanted, std::uint64_t flags, std::int64_t type) {
  if (wanted < 0) {
    return type <= (wanted == std::numeric_limits<std::int64_t>::min() ? -(wanted + 1) : -wanted);
  }
  return wanted == 0 || (type == wanted) != ((flags & MSG_EXCEPT) != 0);
}

// Those who wait for messages of another type go on waiting.
void wake_receivers(MessageQueue& queue, std::int64_t type) {
  for (Task* task = queue.receivers.first(); task != nullptr;) {
    Task* const next = WaitQueue::next(*task);
    if (takes(static_cast<std::int64_t>(task->arguments[3]), task->arguments[4], type)) {
      task->wait(ready_tasks());
    }
    task = next;
  }
}

std::int64_t call_msgsnd(Task& task) {
  const auto [id, address, size, flags, a, b] = task.arguments;
  AddressSpace& space = task.process->space();
  const auto type = space.read_value<std::int64_t>(address);
  if (!type) {
    return -EFAULT;
  }
  if (size > kMaximumMessage || static_cast<std::int32_t>(id) < 0 || *type < 1) {
    return -EINVAL;
  }
  MessageQueue* const queue = find(id);
  if (queue == nullptr) {
    return task.resumed ? -EIDRM : -EINVAL;
  }
  if (!queue->is_allowed(task.process->credentials, kMayWrite)) {
    return -EACCES;
  }
  if (size + queue->bytes > queue->limit ||
      queue->count + 1 > std::min(queue->limit, kQueueBytes)) {
    return wait_for(task, queue->senders, flags, -EAGAIN);
  }
  Message* const message = Message::make(*type, size);
  if (message == nullptr) {
    return -ENOMEM;
  }
  if (!space.read(address + sizeof(*type), message->bytes())) {
    Message::release(message);
    return -EFAULT;
  }
  queue->append(*message);
  queue->sent = now();
  queue->last_sender = task.process->id();
  wake_receivers(*queue, *type);
  return 0;
}

// The link to the message that msgrcv(2) means, or null.
Message** select(MessageQueue& queue, std::int64_t type, std::uint64_t flags) {
  Message** best = nullptr;
  std::int64_t position = 0;
  for (Message** link = &queue.first; *link != nullptr; link = &(*link)->next, ++position) {
    const std::int64_t found = (*link)->type;
    if ((flags & MSG_COPY) != 0) {
      if (position == type) {
        return link;
      }
    } else if (takes(type, flags, found)) {
      if (type >= 0) {
        return link;
      }
      best = best == nullptr || found < (*best)->type ? link : best;
    }
  }
  return best;
}

std::int64_t call_msgrcv(Task& task) {
  const auto [id, address, size, wanted, flags, a] = task.arguments;
  constexpr std::uint64_t kCopyWrong = MSG_EXCEPT;
  if (static_cast<std::int32_t>(id) < 0 || static_cast<std::int64_t>(size) < 0 ||
      ((flags & MSG_COPY) != 0 && ((flags & kCopyWrong) != 0 || (flags & IPC_NOWAIT) == 0))) {
    return -EINVAL;
  }
  MessageQueue* const queue = find(id);
  if (queue == nullptr) {
    return task.resumed ? -EIDRM : -EINVAL;
  }
  if (!queue->is_allowed(task.process->credentials, kMayRead)) {
    return -EACCES;
  }
  Message** const link = select(*queue, static_cast<std::int64_t>(wanted), flags);
  if (link == nullptr) {
    return wait_for(task, queue->receivers, flags, -ENOMSG);
  }
  Message& message = **link;
  if (message.size > size && (flags & MSG_NOERROR) == 0) {
    return -E2BIG;
  }
  const std::uint64_t count = std::min(message.size, size);
  AddressSpace& space = task.process->space();
  const bool copied = space.write_value(address, message.type) &&
                      space.write(address + sizeof(message.type), message.bytes().first(count));
  if ((flags & MSG_COPY) == 0) {
    // As on Linux, it is gone even where it could not be delivered.
    Message::release(queue->take(link));
    queue->received = now();
    queue->last_receiver = task.process->id();
    queue->senders.wake();
  }
  return copied ? static_cast<std::int64_t>(count) : -EFAULT;
}

std::int64_t give_state(Task& task, const MessageQueue& queue, std::int64_t result) {
  msqid64_ds state = {};
  state.msg_perm = queue.permissions();
  state.msg_stime = queue.sent;
  state.msg_rtime = queue.received;
  state.msg_ctime = queue.changed;
  state.msg_cbytes = queue.bytes;
  state.msg_qnum = queue.count;
  state.msg_qbytes = queue.limit;
  state.msg_lspid = static_cast<std::int32_t>(queue.last_sender);
  state.msg_lrpid = static_cast<std::int32_t>(queue.last_receiver);
  return task.process->space().write_value(task.arguments[2], state) ? result : -EFAULT;
}

std::int64_t give_limits(Task& task, bool usage) {
  msginfo limits = {};
  limits.msgmni = kMaximumQueues;
  limits.msgmax = kMaximumMessage;
  limits.msgmnb = kQueueBytes;
  limits.msgssz = 16;
  limits.msgseg = 0xffff;
  limits.msgpool = limits.msgmni * limits.msgmnb / 1024;
  limits.msgtql = limits.msgmap = limits.msgmnb;
  if (usage) {
    limits.msgpool = static_cast<int>(queues.count());
    limits.msgmap = limits.msgtql = 0;
    for (std::uint64_t index = 0; index <= queues.highest(); ++index) {
      if (const auto* queue = static_cast<MessageQueue*>(queues.at(index)); queue != nullptr) {
        limits.msgmap += static_cast<int>(queue->count);
        limits.msgtql += static_cast<int>(queue->bytes);
      }
    }
  }
  return task.process->space().write_value(task.arguments[2], limits)
             ? static_cast<std::int64_t>(queues.highest())
             : -EFAULT;
}

std::int64_t change_queue(Task& task, MessageQueue& queue) {
  const auto wanted = task.process->space().read_value<msqid64_ds>(task.arguments[2]);
  if (!wanted) {
    return -EFAULT;
  }
  if (!queue.is_owned_by(task.process->credentials) ||
      (wanted->msg_qbytes > kQueueBytes && !task.process->credentials.is_root())) {
    return -EPERM;
  }
  queue.change_permissions(wanted->msg_perm);
  queue.limit = std::min<std::uint64_t>(wanted->msg_qbytes, kMaximumBytes);
  queue.changed = now();
  queue.receivers.wake();
  queue.senders.wake();
  return 0;
}

std::int64_t call_msgctl(Task& task) {
  const auto command = static_cast<std::uint32_t>(task.arguments[1]) & ~std::uint32_t{IPC_64};
  if (static_cast<std::int32_t>(task.arguments[0]) < 0) {
    return -EINVAL;
  }
  if (command == IPC_INFO || command == MSG_INFO) {
    return give_limits(task, command == MSG_INFO);
  }
  const bool by_index = command == MSG_STAT || command == MSG_STAT_ANY;
  auto* const queue =
      by_index ? static_cast<MessageQueue*>(queues.at(task.arguments[0])) : find(task.arguments[0]);
  if (queue == nullptr) {
    return -EINVAL;
  }
  const Credentials& credentials = task.process->credentials;
  switch (command) {
    case IPC_RMID:
      if (!queue->is_owned_by(credentials)) {
        return -EPERM;
      }
      delete queue;
      return 0;
    case IPC_SET:
      return change_queue(task, *queue);
    case IPC_STAT:
    case MSG_STAT:
      if (!queue->is_allowed(credentials, kMayRead)) {
        return -EACCES;
      }
      [[fallthrough]];
    case MSG_STAT_ANY:
      return give_state(task, *queue, by_index ? queue->id : 0);
    default:
      return -EINVAL;
  }
}

constexpr CallEntry kCalls[] = {
    {__NR_msgget, call_msgget},
    {__NR_msgsnd, call_msgsnd},
    {__NR_msgrcv, call_msgrcv},
    {__NR_msgctl, call_msgctl},
};

}  // namespace

std::span<const CallEntry> message_calls() {
  return kCalls;
}

}  // namespace linux_server
