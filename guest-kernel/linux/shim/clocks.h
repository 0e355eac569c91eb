#pragma once

// Linux's clock numbers. Its own header for them does not go together with the C++ library's.
namespace shim {

enum Clock : int {
  kClockRealtime = 0,
  kClockMonotonic = 1,
  kClockProcessTime = 2,
  kClockThreadTime = 3,
  kClockMonotonicRaw = 4,
  kClockRealtimeCoarse = 5,
  kClockMonotonicCoarse = 6,
  kClockBootTime = 7,
  kClockTai = 11,
};

}  // namespace shim
