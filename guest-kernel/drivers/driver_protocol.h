#pragma once

#include <cstdint>

// Bits that arrive at a driver's port.
namespace driver {

inline constexpr std::uint64_t kInterruptSignal = 1;
// From its client: there is work, or room. Also the badge of the client's calls.
inline constexpr std::uint64_t kClientSignal = 2;
// From the composer: signal the supervisor when all output has left.
inline constexpr std::uint64_t kDrainSignal = 4;

}  // namespace driver
