#pragma once

#include <chrono>
#include <cstdint>

namespace ensemble::vmm {

// One moment on two clocks.
struct ClockSample {
  uint64_t guest_tsc = 0;
  std::chrono::steady_clock::time_point host_time;  // CLOCK_MONOTONIC.
};

}  // namespace ensemble::vmm
