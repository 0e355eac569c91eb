// The real-time clock, as programs see it: tests/guest-programs/rtc.c.

#include <gtest/gtest.h>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

TEST(Clock, AnswersTellsAndRingsAsOnLinux) {
  REQUIRE_KVM();
  const Outcome outcome =
      run_ensemble({"run", "phone", "--rootfs", ENSEMBLE_GUEST_PROGRAMS, "--", "/test/rtc"}, {},
                   std::chrono::seconds(30) * patience());
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
}

TEST(Clock, HasADriverInADomainOfItsOwnThatStartsWhenItIsAsked) {
  REQUIRE_KVM();
  const Outcome outcome = run_ensemble(
      {"run", "phone", "--", "/bin/busybox", "sh", "-c",
       "look() { /bin/devices | grep rtc@ | "
       "sed 's/.*\"domain\":\"\\([a-z]*\\)\",\"state\":\"\\([a-z]*\\)\".*/\\1 \\2/'; }; "
       "look; cat /sys/class/rtc/rtc0/date > /dev/null; look"});
  EXPECT_EQ(outcome.output, "clock idle\nclock running\n") << outcome.errors;
}

}  // namespace
}  // namespace ensemble::integration
