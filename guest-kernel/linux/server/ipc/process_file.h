#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/anonymous_file.h"
#include "guest-kernel/linux/server/ipc/process_handle.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// pidfd_open(2): a descriptor of a process, which becomes readable at its end.
class ProcessFile : public AnonymousFile {
 public:
  ProcessFile(Reference<AnonymousNode> node, std::uint32_t flags, Reference<ProcessHandle> handle)
      : AnonymousFile(std::move(node), flags), handle_(std::move(handle)) {}

  // Null: it has ended, and its parent has been told.
  Process* process() const { return handle_->process(); }

  std::uint32_t readiness() const override;
  WaitQueue* changes() override { return &handle_->ended(); }
  FileKind kind() const override { return FileKind::kProcess; }

 private:
  Reference<ProcessHandle> handle_;
};

// Gives the caller a descriptor of `process`, closed by exec. `flags`: O_NONBLOCK or nothing.
// Negative errno.
std::int64_t add_process_descriptor(Task& task, Process& process, std::uint32_t flags);

// The descriptor's file. EBADF: it is none of a process.
Result<Reference<ProcessFile>> find_process_file(Task& task, std::uint64_t descriptor);

}  // namespace linux_server
