#include <asm/errno.h>
#include <asm/unistd.h>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/shim/clocks.h"

// The vDSO: clocks that a C library reads without a system call. It is a small shared object that
// lies behind the shim's code in every process (vdso.ld).
namespace shim {
namespace {

constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

struct Pair {
  std::uint64_t seconds;
  std::uint64_t rest;
};

long system_call(long number, unsigned long first, void* second) {
  long result = number;
  asm volatile("syscall" : "+a"(result) : "D"(first), "S"(second) : "rcx", "r11", "memory");
  return result;
}

}  // namespace

extern "C" [[gnu::visibility("default")]] long __vdso_clock_gettime(int clock, Pair* to) {
  std::uint64_t now = guest::monotonic_ns();
  switch (clock) {
    case kClockRealtime:
    case kClockRealtimeCoarse:
    case kClockTai:
      now += guest::time_page().realtime_offset;
      break;
    case kClockMonotonic:
    case kClockMonotonicRaw:
    case kClockMonotonicCoarse:
    case kClockBootTime:
      break;
    default:
      return system_call(__NR_clock_gettime, static_cast<unsigned long>(clock), to);
  }
  *to = {now / kNanosecondsPerSecond, now % kNanosecondsPerSecond};
  return 0;
}

extern "C" [[gnu::visibility("default")]] long __vdso_gettimeofday(Pair* to, std::uint32_t* zone) {
  if (to != nullptr) {
    const std::uint64_t now = guest::realtime_ns();
    *to = {now / kNanosecondsPerSecond, now % kNanosecondsPerSecond / 1000};
  }
  if (zone != nullptr) {
    zone[0] = zone[1] = 0;
  }
  return 0;
}

extern "C" [[gnu::visibility("default")]] long __vdso_time(std::uint64_t* to) {
  const std::uint64_t seconds = guest::realtime_ns() / kNanosecondsPerSecond;
  if (to != nullptr) {
    *to = seconds;
  }
  return static_cast<long>(seconds);
}

}  // namespace shim
