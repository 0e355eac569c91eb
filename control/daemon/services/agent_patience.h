#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "control/daemon/api_error.h"
#include "control/loop_timer.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// Ends a call whose agent has something to say and says nothing.
class AgentPatience {
 public:
  // The agent may have to boot first.
  static constexpr std::chrono::seconds kUsual{60};

  AgentPatience(vmm::EventLoop& loop, std::function<void(grpc::Status status)> finish)
      : loop_(loop), finish_(std::move(finish)) {}

  // In place of what was expected before.
  void expect(std::chrono::seconds patience = kUsual) {
    if (!timer_) {
      auto timer = LoopTimer::create(loop_, [finish = finish_] {
        finish(ApiError(grpc::UNAVAILABLE, "AGENT_SILENT",
                        "the device's agent has not done in time what it was asked")
                   .to_status());
      });
      if (!timer) {
        return;  // The client may give up.
      }
      timer_ = std::move(*timer);
    }
    timer_->set(patience);
  }
  void expect_nothing() {
    if (timer_) {
      timer_->cancel();
    }
  }

 private:
  vmm::EventLoop& loop_;
  const std::function<void(grpc::Status status)> finish_;
  std::unique_ptr<LoopTimer> timer_;
};

}  // namespace ensemble::control
