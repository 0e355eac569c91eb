#pragma once

#include <array>
#include <cstdint>

#include "guest-kernel/linux/shim/layout.h"

// Resource limits. The shim answers for a process's until one of them has changed.
namespace shim {

// RLIMIT_…
enum LimitNumber : std::uint64_t {
  kProcessorTimeLimit = 0,
  kFileSizeLimit = 1,
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
  bool operator==(const Limit&) const = default;
};

inline constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
inline constexpr std::uint64_t kUsualFiles = 1024;
inline constexpr std::uint64_t kMaximumFiles = 1024 * 1024;  // fs.nr_open
inline constexpr std::uint64_t kMaximumProcesses = 1024;

// What the first process starts with.
constexpr Limit default_limit(std::uint64_t resource) {
  switch (resource) {
    case kStackLimit:
      return {kStackSize, kUnlimited};
    case kFileLimit:
      return {kUsualFiles, kMaximumFiles};
    case kProcessLimit:
    case kPendingSignalLimit:
      return {kMaximumProcesses, kMaximumProcesses};
    case kCoreLimit:
      return {0, kUnlimited};
    case kLockedMemoryLimit:
      return {8 * 1024 * 1024, 8 * 1024 * 1024};
    case kMessageQueueLimit:
      return {819200, 819200};
    case kNiceLimit:
    case kRealTimePriorityLimit:
      return {0, 0};
    default:
      return {kUnlimited, kUnlimited};
  }
}

constexpr std::array<Limit, kLimitCount> default_limits() {
  std::array<Limit, kLimitCount> limits = {};
  for (std::uint64_t resource = 0; resource < kLimitCount; ++resource) {
    limits[resource] = default_limit(resource);
  }
  return limits;
}

}  // namespace shim
