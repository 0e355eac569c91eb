#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/lib/system_call.h"

namespace linux_server {

struct MissedCall {
  std::uint32_t number;
  std::uint32_t count;
};

// Counts a call that is answered with ENOSYS. Only so many different ones are told apart.
void count_missed_call(std::uint64_t number);
std::span<const MissedCall> missed_calls();
// Tells the composer, at its control port.
void report_missed_calls(guest::Slot control);

}  // namespace linux_server
