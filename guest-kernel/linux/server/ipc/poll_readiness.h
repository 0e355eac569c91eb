#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/file.h"

namespace linux_server {

// What poll(2) and epoll(7) tell of whether it was asked for or not.
inline constexpr std::uint32_t kAlwaysPolled = kError | kHangUp;

// Readiness with the names that ordinary data has beside: POLLRDNORM, POLLWRNORM.
constexpr std::uint32_t widen_readiness(std::uint32_t ready) {
  constexpr std::uint32_t kReadableNormal = 0x40;
  constexpr std::uint32_t kWritableNormal = 0x100;
  return ready | ((ready & kReadable) != 0 ? kReadableNormal : 0) |
         ((ready & kWritable) != 0 ? kWritableNormal : 0);
}
inline std::uint32_t poll_readiness(const File& file) {
  return widen_readiness(file.readiness());
}

}  // namespace linux_server
