#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace ensemble::integration {

// Whether the test runs inside scripts/lane-hw: hardware KVM, emulated, and therefore slow.
inline bool on_lane_s() {
  const char* lane = std::getenv("ENSEMBLE_LANE");
  return lane != nullptr && std::string_view(lane) == "s";
}

// How much longer than on the host something may take here.
inline int patience() {
  return on_lane_s() ? 20 : 1;
}

}  // namespace ensemble::integration

// Skips the rest of the test on a host whose /dev/kvm is missing or forbidden. Lane S never skips:
// there, a missing KVM is a failure.
#define REQUIRE_KVM()                                                                      \
  do {                                                                                     \
    if (::access("/dev/kvm", R_OK | W_OK) != 0 && !::ensemble::integration::on_lane_s()) { \
      GTEST_SKIP() << "/dev/kvm is missing or forbidden on this host";                     \
    }                                                                                      \
  } while (false)
