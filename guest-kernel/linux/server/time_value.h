#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "guest-kernel/linux/server/address_space.h"

namespace linux_server {

inline constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

struct TimeSpec {
  std::int64_t seconds;
  std::int64_t nanoseconds;
};
struct TimeValue {
  std::int64_t seconds;
  std::int64_t microseconds;
};

constexpr TimeSpec to_time_spec(std::uint64_t ns) {
  return {static_cast<std::int64_t>(ns / kNanosecondsPerSecond),
          static_cast<std::int64_t>(ns % kNanosecondsPerSecond)};
}

// Nanoseconds, or EINVAL for a time that is negative or malformed. Times past 292 years are cut.
inline Result<std::uint64_t> to_nanoseconds(std::int64_t seconds, std::int64_t nanoseconds) {
  if (seconds < 0 || nanoseconds < 0 ||
      nanoseconds >= static_cast<std::int64_t>(kNanosecondsPerSecond)) {
    return fail(EINVAL);
  }
  constexpr std::int64_t kMaximum =
      std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(kNanosecondsPerSecond) -
      1;
  return static_cast<std::uint64_t>(std::min(seconds, kMaximum)) * kNanosecondsPerSecond +
         static_cast<std::uint64_t>(nanoseconds);
}

// The timespec that a process has at `address`, in nanoseconds. EFAULT, EINVAL.
inline Result<std::uint64_t> read_time_spec(AddressSpace& space, std::uint64_t address) {
  const auto value = space.read_value<TimeSpec>(address);
  return value ? to_nanoseconds(value->seconds, value->nanoseconds)
               : Result<std::uint64_t>(std::unexpected(value.error()));
}

// `base` + `interval` without wrapping.
constexpr std::uint64_t add_time(std::uint64_t base, std::uint64_t interval) {
  return base + interval < base ? std::numeric_limits<std::uint64_t>::max() - 1 : base + interval;
}

}  // namespace linux_server
