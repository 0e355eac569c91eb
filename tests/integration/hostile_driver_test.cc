// A guest that scribbles over the registers and rings of all its devices (guests/hostile_driver.c).
// Lane P and lane S.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"

namespace ensemble::integration {
namespace {

using Json = nlohmann::json;
using testing::EndsWith;
using testing::HasSubstr;

constexpr int kAllServedToTheEnd = 42;

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; ++at) {
    ++found;
  }
  return found;
}

// Runs the guest with console, entropy device and disk, and checks how it ended.
class HostileDriver : public testing::Test {
 protected:
  // The report of a run in which each device is attacked with everything `rounds` times.
  Json attack(int rounds) {
    const std::string name = "hostile_driver_" + std::to_string(rounds);
    const std::string report = folder_.path(name + ".json");
    outcome_ =
        run_ensemble({"run", "watch", "--memory", "32M", "--cpus", "1", "--disk", disk_, "--report",
                      report, "--kernel", std::string(ENSEMBLE_TEST_GUESTS) + "/" + name + ".elf"},
                     {{"ENSEMBLE_GUEST_DIR", "/nonexistent"}}, 3 * default_limit());
    EXPECT_FALSE(outcome_.timed_out);
    EXPECT_EQ(outcome_.exit_code, kAllServedToTheEnd) << outcome_.errors;
    EXPECT_THAT(outcome_.output, EndsWith("attacked 00000006 devices\n"));
    return Json::parse(folder_.read(name + ".json"), nullptr, false);
  }

  const TemporaryFolder folder_;
  const std::string disk_ = folder_.write("disk.img", std::string(std::size_t{1} << 20, 'x'));
  Outcome outcome_;
};

TEST_F(HostileDriver, BreaksNothingButItsOwnDevicesUntilItResetsThem) {
  REQUIRE_KVM();
  EXPECT_EQ(attack(1).value("exit_code", -1), kAllServedToTheEnd);
  for (const char* device : {"console", "entropy", "block", "input"}) {
    EXPECT_THAT(outcome_.errors, HasSubstr(std::string("virtio-") + device));
  }
  EXPECT_THAT(outcome_.errors, HasSubstr("stopped until its driver resets it: queue 0"));
  EXPECT_EQ(std::filesystem::file_size(disk_), std::size_t{1} << 20);
}

TEST_F(HostileDriver, GrowsNeitherMemoryNorTheLog) {
  REQUIRE_KVM();
  // Large pages that the host gives to a stack or the heap when it likes are not growth. Inherited.
  ASSERT_EQ(::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
  const Json few = attack(1);
  const std::size_t lines = count(outcome_.errors, "stopped until its driver resets it");
  const Json many = attack(4);
  EXPECT_EQ(count(outcome_.errors, "stopped until its driver resets it"), lines);
#ifndef ENSEMBLE_SANITIZED  // A sanitizer's own memory would be measured.
  constexpr long kSlackKib = 256;
  EXPECT_LT(many.at("memory").at("vmm_anonymous_kib").get<long>(),
            few.at("memory").at("vmm_anonymous_kib").get<long>() + kSlackKib);
#endif
  ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

}  // namespace
}  // namespace ensemble::integration
