#pragma once

#include <gtest/gtest.h>

#include <string>

namespace ensemble::programs {

// The root file system of Debian's programs, which scripts/rootfs makes once: its path.
std::string debian_root();
// Makes it if it is not there. A reason to skip the test, or nothing.
std::string make_debian_root();

}  // namespace ensemble::programs

// Skips the test where the packages cannot be fetched.
#define REQUIRE_DEBIAN_ROOT()                                                    \
  do {                                                                           \
    const std::string reason_to_skip = ::ensemble::programs::make_debian_root(); \
    if (!reason_to_skip.empty()) {                                               \
      GTEST_SKIP() << reason_to_skip;                                            \
    }                                                                            \
  } while (false)
