// Programs that take all they can get of one kind of thing: tests/guest-programs/hogs.c.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <string>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

class Hogs : public testing::TestWithParam<const char*> {};

TEST_P(Hogs, GetAnErrorAndLeaveTheOthersEnough) {
  REQUIRE_KVM();
  if (on_lane_s()) {
    GTEST_SKIP() << "takes many minutes where the whole processor is emulated";
  }
  // Little memory is soon taken.
  const Outcome outcome = run_ensemble({"run", "watch", "--memory", "64M", "--rootfs",
                                        ENSEMBLE_GUEST_PROGRAMS, "--", "/test/hogs", GetParam()},
                                       {}, std::chrono::minutes(2));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
}

INSTANTIATE_TEST_SUITE_P(Kinds, Hogs,
                         testing::Values("files", "links", "symbolic links", "sparse files",
                                         "semaphores", "undos", "messages", "open files", "pipes",
                                         "sockets", "texts", "mappings", "descriptors", "epoll",
                                         "inotify", "timers", "locks", "tables"),
                         [](const auto& hog) {
                           std::string name = hog.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](unsigned char each) { return std::isalnum(each) == 0; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace ensemble::integration
