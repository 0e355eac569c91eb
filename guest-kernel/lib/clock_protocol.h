#pragma once

#include <cstddef>
#include <cstdint>

// What the driver of the real-time clock answers and takes, by chip_protocol.h. All numbers are
// decimal; times are seconds since 1970, UTC.
namespace guest {

enum class ClockChannel : std::uint32_t {
  kSeconds,    // the time; may be set
  kDate,       // "2026-11-24"
  kTimeOfDay,  // "13:05:59"
  kAlarm,      // set: when there is to be an alarm, once, within a day; 0: there is none any more
  kUpdates,    // set: 1: an event for each second that begins, 0: none
};

// Kinds of events.
inline constexpr std::size_t kClockUpdate = 0;
inline constexpr std::size_t kClockAlarm = 1;

}  // namespace guest
