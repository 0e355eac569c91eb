#pragma once

#include <cstdint>

#include "guest-kernel/linux/shim/layout.h"

// Resource limits. They are the same for every process and do not change, so that the shim answers
// for them.
namespace shim {

// RLIMIT_…
enum LimitNumber : std::uint64_t {
  kStackLimit = 3,
  kCoreLimit = 4,
  kProcessLimit = 6,
  kFileLimit = 7,
  kLockedMemoryLimit = 8,
  kPendingSignalLimit = 11,
  kMessageQueueLimit = 12,
  kNiceLimit = 13,
  kRealTimePriorityLimit = 14,
  kLimitCount = 16,
};

// struct rlimit64
struct Limit {
  std::uint64_t current;
  std::uint64_t maximum;
};

inline constexpr std::uint64_t kMaximumFiles = 1024;
inline constexpr std::uint64_t kMaximumProcesses = 1024;

constexpr Limit limit_of(std::uint64_t resource) {
  constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
  switch (resource) {
    case kStackLimit:
      return {kStackSize, kStackSize};
    case kFileLimit:
      return {kMaximumFiles, kMaximumFiles};
    case kProcessLimit:
      return {kMaximumProcesses, kMaximumProcesses};
    case kCoreLimit:
    case kLockedMemoryLimit:
    case kPendingSignalLimit:
    case kMessageQueueLimit:
    case kNiceLimit:
    case kRealTimePriorityLimit:
      return {0, 0};
    default:
      return {kUnlimited, kUnlimited};
  }
}

}  // namespace shim
