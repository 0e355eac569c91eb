#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "device-model/chips/state_fields.h"

namespace ensemble::device {

// The instants at which a sensor with an output data rate takes its samples: `period` apart, from
// one period after the start. Only arithmetic: nothing runs.
class SampleClock {
 public:
  // Begins anew. `period` is in nanoseconds and not zero.
  void start(std::uint64_t now, std::uint64_t period) {
    start_ = now;
    period_ = period;
    taken_ = 0;
  }
  void stop() { period_ = 0; }
  bool running() const { return period_ != 0; }
  std::uint64_t period() const { return period_; }

  // Keeps a clock that runs with this period; starts it otherwise. 0 stops it.
  void set(std::uint64_t now, std::uint64_t period) {
    if (period == 0) {
      stop();
    } else if (period != period_) {
      start(now, period);
    }
  }

  // When the next sample is due, if any ever is.
  std::optional<std::uint64_t> next() const {
    return running() ? std::optional(start_ + (taken_ + 1) * period_) : std::nullopt;
  }

  // Calls `sample(time)` for each sample due since the last call, oldest first, at most the
  // `history` latest ones: the others could be seen nowhere any more. Returns how many were due.
  template <typename Sample>
  std::uint64_t take(std::uint64_t now, std::uint64_t history, Sample&& sample) {
    if (!running() || now < start_) {
      return 0;
    }
    const std::uint64_t count = (now - start_) / period_;
    if (count <= taken_) {
      return 0;
    }
    const std::uint64_t due = count - taken_;
    for (std::uint64_t number = count - std::min(due, history); number < count; ++number) {
      sample(start_ + (number + 1) * period_);
    }
    taken_ = count;
    return due;
  }

  void exchange(StateFields& state) {
    state.past(start_);
    state.fields(period_, taken_);
    if (!running()) {
      return;
    }
    state.require(period_ >= kShortestPeriod && period_ <= kLongestPeriod,
                  "holds a period of samples that no chip has");
    state.require(taken_ <= (state.now() - std::min(start_, state.now())) / period_,
                  "holds samples that were taken in the future");
  }

 private:
  // Of all chips, in ns, with room to spare.
  static constexpr std::uint64_t kShortestPeriod = 50'000;
  static constexpr std::uint64_t kLongestPeriod = 3'600'000'000'000;

  std::uint64_t start_ = 0;
  std::uint64_t period_ = 0;  // 0: stopped.
  std::uint64_t taken_ = 0;   // Samples since the start.
};

// The period of a rate in mHz.
constexpr std::uint64_t period_of(std::uint64_t millihertz) {
  return 1'000'000'000'000 / millihertz;
}

}  // namespace ensemble::device
