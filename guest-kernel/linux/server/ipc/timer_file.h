#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/anonymous_file.h"
#include "guest-kernel/linux/server/ipc/event_timer.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// timerfd_create(2). All times are ns.
class TimerFile : public AnonymousFile, private EventTimer {
 public:
  struct Setting {
    std::uint64_t interval = 0;  // 0: once
    std::uint64_t left = 0;      // until the next expiry; 0: it is not set
  };

  TimerFile(Reference<AnonymousNode> node, std::uint32_t flags, bool wall_clock)
      : AnonymousFile(std::move(node), flags), wall_clock_(wall_clock) {}

  bool uses_wall_clock() const { return wall_clock_; }
  Setting setting() const;
  // `deadline`: monotonic; null: it is stopped.
  void start(const std::uint64_t* deadline, std::uint64_t interval);

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::uint32_t readiness() const override { return expirations_ != 0 ? kReadable : 0u; }
  WaitQueue* changes() override { return &changed_; }
  FileKind kind() const override { return FileKind::kTimer; }

 private:
  void expire() override;
  // Counts the periods that have gone by since the first expiry was told.
  void catch_up();

  WaitQueue changed_;
  std::uint64_t expirations_ = 0;
  std::uint64_t interval_ = 0;
  // Of the next expiry, while an interval's is not told because nobody has read the last.
  std::uint64_t next_ = 0;
  bool wall_clock_;
};

}  // namespace linux_server
