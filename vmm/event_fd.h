#pragma once

#include <cstdint>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::vmm {

// A non-blocking eventfd(2). Any thread may signal it.
class EventFd {
 public:
  static Result<EventFd> create();

  int fd() const { return descriptor_.get(); }

  // Adds one to the counter. Never blocks: a full counter is already as signalled as can be.
  void signal() const;

  // The counter, which becomes 0.
  uint64_t drain() const;

 private:
  explicit EventFd(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}

  FileDescriptor descriptor_;
};

}  // namespace ensemble::vmm
