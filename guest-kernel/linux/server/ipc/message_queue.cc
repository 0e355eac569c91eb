#include "guest-kernel/linux/server/ipc/message_queue.h"

#include <algorithm>
#include <new>
#include <utility>

#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/signals.h"

namespace linux_server {
namespace {

constinit MessageQueue* first_queue = nullptr;

}  // namespace

std::uint64_t MessageQueue::Limits::charge() const {
  constexpr std::uint64_t kOverhead = 48;  // as Linux counts it
  return messages * (message_size + kOverhead) + std::min(messages, kPriorities) * kOverhead;
}

MessageQueue::Message* MessageQueue::Message::make(std::uint32_t priority, std::uint64_t size) {
  void* const memory = ::operator new(sizeof(Message) + size, std::nothrow);
  return memory == nullptr ? nullptr : new (memory) Message{nullptr, priority, size};
}

void MessageQueue::Message::release(Message* message) {
  ::operator delete(message, sizeof(Message) + message->size);
}

MessageQueue::MessageQueue(Name name, std::uint32_t mode, const Limits& limits,
                           const Process& maker)
    : Node(std::move(name), kRegularFile | mode), limits_(limits) {
  attributes_.user = maker.credentials.user;
  attributes_.group = maker.credentials.group;
}

MessageQueue::~MessageQueue() {
  while (Message* message = take()) {
    Message::release(message);
  }
}

MessageQueue* MessageQueue::find(std::string_view name) {
  MessageQueue* each = first_queue;
  while (each != nullptr && each->name() != name) {
    each = each->next_;
  }
  return each;
}

std::uint64_t MessageQueue::count() {
  std::uint64_t number = 0;
  for (const MessageQueue* each = first_queue; each != nullptr; each = each->next_) {
    ++number;
  }
  return number;
}

std::uint64_t MessageQueue::charged_to(std::uint32_t user) {
  std::uint64_t sum = 0;
  for (const MessageQueue* each = first_queue; each != nullptr; each = each->next_) {
    sum += each->attributes_.user == user ? each->limits_.charge() : 0;
  }
  return sum;
}

void MessageQueue::link() {
  acquire();
  linked_ = true;
  next_ = std::exchange(first_queue, this);
}

void MessageQueue::unlink() {
  if (!std::exchange(linked_, false)) {
    return;
  }
  MessageQueue** place = &first_queue;
  while (*place != this) {
    place = &(*place)->next_;
  }
  *place = next_;
  attributes_.links = 0;
  release();
}

void MessageQueue::add(Message& message, const Process& sender) {
  Message** place = &first_;
  while (*place != nullptr && (*place)->priority >= message.priority) {
    place = &(*place)->next;
  }
  message.next = std::exchange(*place, &message);
  // Whoever waits while there is nothing waits for messages.
  const bool is_awaited = !changed_.empty();
  ++count_;
  changed_.wake(kReadable);
  if (count_ == 1 && !is_awaited) {
    notify(sender);
  }
}

MessageQueue::Message* MessageQueue::take() {
  Message* const message = first_;
  if (message != nullptr) {
    first_ = message->next;
    --count_;
    changed_.wake(kWritable);
  }
  return message;
}

bool MessageQueue::has_notification() const {
  const Process* process = notification.process ? notification.process->process() : nullptr;
  return process != nullptr && process->state != ProcessState::kEnded;
}

void MessageQueue::notify(const Process& sender) {
  constexpr std::int32_t kMessageArrived = -3;  // SI_MESGQ
  const bool is_due = has_notification();
  const Notification due = std::exchange(notification, {});
  if (is_due && due.signal != 0) {
    send_signal(*due.process->process(), SignalInfo::from_process(due.signal, kMessageArrived,
                                                                  sender.as_sender(), due.value));
  }
}

MessageQueueFile::~MessageQueueFile() {
  if (queue_->notification.file == this) {
    queue_->notification = {};
  }
}

}  // namespace linux_server
