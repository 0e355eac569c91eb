#pragma once

#include <memory>

#include "device-model/clock/cmos_clock.h"
#include "vmm/event_loop.h"
#include "vmm/interrupt_line.h"
#include "vmm/timer.h"

namespace ensemble::device {

// A real-time clock that shows the host's time. Owns it with its timer, which is armed only while
// the guest waits for an interrupt of the clock.
class HostClock final : public ClockHost {
 public:
  // `loop` outlives the clock. The Error says that there can be no timer.
  static Result<std::unique_ptr<HostClock>> create(vmm::EventLoop& loop,
                                                   std::unique_ptr<vmm::InterruptLine> line);

  CmosClock& clock() { return *clock_; }

  std::int64_t real_time() const override;
  void interrupt() override { line_->trigger(); }
  void wake_after(std::optional<std::int64_t> delay) override;

 private:
  explicit HostClock(std::unique_ptr<vmm::InterruptLine> line) : line_(std::move(line)) {}

  const std::unique_ptr<vmm::InterruptLine> line_;
  std::unique_ptr<CmosClock> clock_;
  std::unique_ptr<vmm::Timer> timer_;
  bool armed_ = false;
};

}  // namespace ensemble::device
