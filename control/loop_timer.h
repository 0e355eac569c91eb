#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// A timer on an event loop's thread (timerfd, CLOCK_MONOTONIC): jumps of the host's clock do not
// touch it.
class LoopTimer {
 public:
  // Calls `handler` on the loop whenever the timer rings. `loop` outlives the timer.
  static Result<std::unique_ptr<LoopTimer>> create(vmm::EventLoop& loop,
                                                   std::function<void()> handler);

  // Rings once, after `delay`, in place of what was set before.
  void set(std::chrono::nanoseconds delay);
  void cancel();

 private:
  LoopTimer(vmm::FileDescriptor timer, std::function<void()> handler)
      : timer_(std::move(timer)), handler_(std::move(handler)) {}

  vmm::FileDescriptor timer_;
  std::function<void()> handler_;
  vmm::FdWatch watch_;  // Destroyed before the descriptor.
};

}  // namespace ensemble::control
