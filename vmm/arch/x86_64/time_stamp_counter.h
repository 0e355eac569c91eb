#pragma once

#include <x86intrin.h>

#include <cstdint>

namespace ensemble::vmm {

// This processor's clock, in ticks. All processors of a host agree about it.
inline std::uint64_t read_time_stamp_counter() {
  return __rdtsc();
}

}  // namespace ensemble::vmm
