#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/ipc/process_handle.h"
#include "guest-kernel/linux/server/name.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

class MessageQueueFile;

// A queue of mq_overview(7). It lives as long as it has a name or is open.
class MessageQueue final : public Node {
 public:
  static constexpr std::uint64_t kPriorities = 32768;

  struct Limits {
    std::uint64_t messages = 10;
    std::uint64_t message_size = 8192;
    // What RLIMIT_MSGQUEUE counts.
    std::uint64_t charge() const;
  };

  // Its bytes follow.
  struct Message {
    Message* next;
    std::uint32_t priority;
    std::uint64_t size;
    std::span<std::byte> bytes() { return {reinterpret_cast<std::byte*>(this + 1), size}; }
    // Null: no memory.
    static Message* make(std::uint32_t priority, std::uint64_t size);
    static void release(Message* message);
  };

  // What mq_notify(3) asks for.
  struct Notification {
    Reference<ProcessHandle> process;  // null: nobody has asked
    const MessageQueueFile* file = nullptr;
    std::uint32_t signal = 0;  // 0: none is sent
    std::uint64_t value = 0;
  };

  MessageQueue(Name name, std::uint32_t mode, const Limits& limits, const Process& maker);
  ~MessageQueue() override;

  static MessageQueue* find(std::string_view name);
  // How many have a name.
  static std::uint64_t count();
  // The charges of the queues of a user.
  static std::uint64_t charged_to(std::uint32_t user);
  // Gives it its name in the table, or takes it away.
  void link();
  void unlink();

  const Limits& limits() const { return limits_; }
  std::uint64_t messages() const { return count_; }
  bool is_full() const { return count_ >= limits_.messages; }
  // Behind those of the same priority. It is the queue's from now on; `sender` sends it.
  void add(Message& message, const Process& sender);
  // The first; null: none. It is the caller's.
  Message* take();
  WaitQueue& changed() { return changed_; }

  Notification notification;
  // Whether a living process is to be told.
  bool has_notification() const;

 private:
  void notify(const Process& sender);

  Limits limits_;
  Message* first_ = nullptr;
  std::uint64_t count_ = 0;
  WaitQueue changed_;
  bool linked_ = false;
  MessageQueue* next_ = nullptr;
};

// An open queue.
class MessageQueueFile final : public File {
 public:
  MessageQueueFile(MessageQueue& queue, std::uint32_t flags) : File(queue, flags), queue_(&queue) {}
  ~MessageQueueFile() override;

  MessageQueue& queue() const { return *queue_; }
  bool is_seekable() const override { return false; }
  std::uint32_t readiness() const override {
    return (queue_->messages() != 0 ? std::uint32_t{kReadable} : 0u) |
           (queue_->is_full() ? 0u : std::uint32_t{kWritable});
  }
  WaitQueue* changes() override { return &queue_->changed(); }
  FileKind kind() const override { return FileKind::kMessageQueue; }

 private:
  Reference<MessageQueue> queue_;
};

}  // namespace linux_server
