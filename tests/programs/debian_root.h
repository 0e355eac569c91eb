#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace ensemble::programs {

// Which of Debian's packages a root file system is of.
enum class Root : std::uint8_t {
  kPrograms,  // shells, a compiler, a database, Python
  kHardware,  // what reads sensors, clocks and input devices
};

// The root file system of Debian's programs, which scripts/rootfs makes once: its path.
std::string debian_root(Root root = Root::kPrograms);
// Makes it if it is not there. A reason to skip the test, or nothing.
std::string make_debian_root(Root root = Root::kPrograms);

}  // namespace ensemble::programs

// Skips the test where the packages cannot be fetched.
#define REQUIRE_DEBIAN_ROOT(...)                                                            \
  do {                                                                                      \
    const std::string reason_to_skip = ::ensemble::programs::make_debian_root(__VA_ARGS__); \
    if (!reason_to_skip.empty()) {                                                          \
      GTEST_SKIP() << reason_to_skip;                                                       \
    }                                                                                       \
  } while (false)
