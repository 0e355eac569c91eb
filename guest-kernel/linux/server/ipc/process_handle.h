#pragma once

#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

class Process;

// Names one process for good: its number may be given to another when its parent has been told of
// its end.
class ProcessHandle : public Counted {
 public:
  explicit ProcessHandle(Process& process) : process_(&process) {}

  // Null: its parent has been told of its end.
  Process* process() const { return process_; }
  // Woken when it ends, and when its parent has been told.
  WaitQueue& ended() { return ended_; }
  // It is about to be deleted.
  void forget() {
    process_ = nullptr;
    ended_.wake();
  }

 private:
  Process* process_;
  WaitQueue ended_;
};

}  // namespace linux_server
