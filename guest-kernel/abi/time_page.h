#pragma once

#include <cstdint>

namespace abi {

// Read by every domain at kTimePage, so that reading a clock enters no kernel. The composer fills
// it in before it starts the first other program; it does not change afterwards.
//   monotonic ns = ((tsc - tsc_base) * multiplier) >> shift        (128-bit product)
//   real time ns = monotonic ns + realtime_offset
struct TimePage {
  std::uint64_t tsc_base;       // TSC at which the monotonic clock reads zero: kernel entry
  std::uint64_t tsc_frequency;  // Hz
  std::uint64_t multiplier;     // ns per tick, scaled by 2^shift
  std::uint32_t shift;
  std::uint32_t reserved;
  std::uint64_t realtime_offset;  // ns between 1970 and the monotonic clock's zero
};

}  // namespace abi
