#include "device-model/clock/host_clock.h"

#include <chrono>
#include <utility>

namespace ensemble::device {

Result<std::unique_ptr<HostClock>> HostClock::create(vmm::EventLoop& loop,
                                                     std::unique_ptr<vmm::InterruptLine> line) {
  std::unique_ptr<HostClock> host(new HostClock(std::move(line)));
  auto timer = vmm::Timer::create(loop, [raw = host.get()] {
    raw->armed_ = false;
    raw->clock_->wake();
  });
  if (!timer) {
    return std::unexpected(timer.error().with_context("cannot make the real-time clock"));
  }
  host->timer_ = std::move(*timer);
  host->clock_ = std::make_unique<CmosClock>(*host);
  return host;
}

std::int64_t HostClock::real_time() const {
  const auto time = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

void HostClock::wake_after(std::optional<std::int64_t> delay) {
  if (delay) {
    timer_->arm(std::chrono::nanoseconds(*delay));
  } else if (armed_) {
    timer_->disarm();
  }
  armed_ = delay.has_value();
}

}  // namespace ensemble::device
