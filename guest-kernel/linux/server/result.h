#pragma once

#include <asm/errno.h>

#include <expected>

namespace linux_server {

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
