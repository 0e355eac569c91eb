#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/anonymous_file.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// eventfd(2): a counter.
class EventFile : public AnonymousFile {
 public:
  EventFile(Reference<AnonymousNode> node, std::uint32_t flags, std::uint64_t count, bool semaphore)
      : AnonymousFile(std::move(node), flags), count_(count), semaphore_(semaphore) {}

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::uint32_t readiness() const override;
  WaitQueue* changes() override { return &changed_; }
  FileKind kind() const override { return FileKind::kEvent; }

 private:
  static constexpr std::uint64_t kMaximum = ~std::uint64_t{0} - 1;

  WaitQueue changed_;
  std::uint64_t count_;
  bool semaphore_;
};

}  // namespace linux_server
