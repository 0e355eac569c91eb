#pragma once

#include <asm/errno.h>

#include <cstdint>
#include <expected>
#include <limits>

namespace linux_server {

// What a call returns when its caller has to wait (see Task).
inline constexpr std::int64_t kBlocked = std::numeric_limits<std::int64_t>::min();

// A positive Linux error number.
struct Errno {
  int number;
};

template <typename T>
using Result = std::expected<T, Errno>;

inline std::unexpected<Errno> fail(int number) {
  return std::unexpected(Errno{number});
}

}  // namespace linux_server
