#pragma once

#include <cstdint>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/abi/time_page.h"

// Clocks read from the time page, without a system call.
namespace guest {

// Ordered after the instructions before it.
inline std::uint64_t read_tsc() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return std::uint64_t{high} << 32 | low;
}

inline const abi::TimePage& time_page() {
  return *reinterpret_cast<const abi::TimePage*>(abi::kTimePage);
}

__extension__ using Uint128 = unsigned __int128;

// Since the kernel's entry.
inline std::uint64_t monotonic_ns(const abi::TimePage& page, std::uint64_t tsc) {
  const std::uint64_t ticks = tsc - page.tsc_base;
  return static_cast<std::uint64_t>(static_cast<Uint128>(ticks) * page.multiplier >> page.shift);
}
inline std::uint64_t monotonic_ns() {
  return monotonic_ns(time_page(), read_tsc());
}
// Since 1970.
inline std::uint64_t realtime_ns() {
  return monotonic_ns() + time_page().realtime_offset;
}

// The TSC at which the monotonic clock will read `ns`, rounded up, for timers.
inline std::uint64_t tsc_at(const abi::TimePage& page, std::uint64_t ns) {
  constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
  // Seconds and the rest apart: no 128-bit division.
  const std::uint64_t seconds = ns / kNsPerSecond;
  const std::uint64_t rest = ns % kNsPerSecond;
  return page.tsc_base + seconds * page.tsc_frequency +
         (rest * page.tsc_frequency + kNsPerSecond - 1) / kNsPerSecond;
}

}  // namespace guest
