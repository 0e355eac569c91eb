// Input devices, as programs see them: tests/guest-programs/input.c.

#include <gtest/gtest.h>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

TEST(Input, DevicesAnswerAndTellEventsAsOnLinux) {
  REQUIRE_KVM();
  const Outcome outcome = run_ensemble(
      {"run", "phone", "--rootfs", ENSEMBLE_GUEST_PROGRAMS, "--", "/test/input", "abi"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
}

TEST(Input, EachPartOfAProductIsADevice) {
  REQUIRE_KVM();
  const struct {
    const char* product;
    const char* devices;
  } cases[] = {{"phone", "event0\nevent1\n"},
               {"tablet", "event0\nevent1\nevent2\n"},
               {"watch", "event0\nevent1\nevent2\n"}};
  for (const auto& each : cases) {
    const Outcome outcome =
        run_ensemble({"run", each.product, "--", "/bin/busybox", "ls", "-1", "/dev/input"});
    EXPECT_EQ(outcome.output, each.devices) << each.product << outcome.errors;
  }
}

}  // namespace
}  // namespace ensemble::integration
