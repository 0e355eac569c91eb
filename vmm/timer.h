#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "vmm/error.h"
#include "vmm/event_loop.h"

namespace ensemble::vmm {

// A timer of CLOCK_MONOTONIC on an event loop. Starts disarmed.
class Timer {
 public:
  // `handler` runs on the loop, with the device lock held, once for one or more expirations.
  static Result<std::unique_ptr<Timer>> create(EventLoop& loop, std::function<void()> handler);

  // Expires after `delay` (at least 1 ns), then each `interval` (0: only once). Replaces what was
  // armed.
  void arm(std::chrono::nanoseconds delay,
           std::chrono::nanoseconds interval = std::chrono::nanoseconds(0));
  void disarm();

 private:
  Timer(FileDescriptor descriptor, std::function<void()> handler)
      : descriptor_(std::move(descriptor)), handler_(std::move(handler)) {}

  FileDescriptor descriptor_;
  std::function<void()> handler_;
  FdWatch watch_;  // Destroyed before the descriptor is closed.
};

}  // namespace ensemble::vmm
