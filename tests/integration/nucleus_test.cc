#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

std::string guest_directory() {
  const char* given = std::getenv("ENSEMBLE_GUEST_DIR");
  return given != nullptr ? given : program_directory() + "/../guest-kernel";
}

// Runs tests/nucleus, a boot package whose first program is a test of the nucleus.
void run_nucleus_tests(const std::string& processors) {
  const std::string guest = guest_directory();
  const Outcome outcome =
      run_ensemble({"run", "watch", "--cpus", processors, "--kernel", guest + "/nucleus.elf",
                    "--initrd", guest + "/rootfs.cpio"},
                   {{"ENSEMBLE_GUEST_DIR", guest + "/nucleus-test"}}, default_limit() * 4);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
  EXPECT_NE(outcome.output.find(" passed, 0 failed"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("processors " + processors), std::string::npos) << outcome.output;
}

TEST(Nucleus, PassesItsTestsOnOneProcessor) {
  REQUIRE_KVM();
  run_nucleus_tests("1");
}

TEST(Nucleus, PassesItsTestsOnTwoProcessors) {
  REQUIRE_KVM();
  run_nucleus_tests("2");
}

}  // namespace
}  // namespace ensemble::integration
