#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/ipc/anonymous_file.h"
#include "guest-kernel/linux/server/ipc/signal_arrivals.h"

namespace linux_server {

// signalfd(2): reads signals that are blocked.
class SignalFile : public AnonymousFile {
 public:
  SignalFile(Reference<AnonymousNode> node, std::uint32_t flags, std::uint64_t mask)
      : AnonymousFile(std::move(node), flags), mask_(mask) {}

  void set_mask(std::uint64_t mask) {
    mask_ = mask;
    signal_arrivals().wake(kReadable);
  }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::uint32_t readiness() const override {
    return (pending_signals() & mask_) != 0 ? kReadable : 0u;
  }
  WaitQueue* changes() override { return &signal_arrivals(); }
  FileKind kind() const override { return FileKind::kSignal; }

 private:
  std::uint64_t mask_;
};

}  // namespace linux_server
