#pragma once

#include <cstdint>

namespace guest {

// Beside ControlRequest (device_protocol.h), what the Linux server tells the composer before the
// command's end: the system calls that programs made and the server does not have.
//   m1 … m7 = number << 32 | how often, or 0
inline constexpr std::uint64_t kMissedCallsRequest = 16;

}  // namespace guest
