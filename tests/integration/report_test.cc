#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"

namespace ensemble::integration {
namespace {

using Json = nlohmann::json;

constexpr int kMaximumVmmKib = 8192;
// Where the kernel maps what lies around a page that is touched: more of the programs' and
// libraries' files, which all devices share.
constexpr int kMaximumVmmKibOnLaneS = 9216;
constexpr int kMaximumAnonymousKib = 1024;
constexpr int kMaximumTouchedKib = 6144;

Json run_and_report(const Arguments& options, const Arguments& command) {
  const TemporaryFolder folder;
  Arguments arguments{"run"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.insert(arguments.end(), {"--report", folder.path("report.json"), "--"});
  arguments.insert(arguments.end(), command.begin(), command.end());
  const Outcome outcome = run_ensemble(arguments);
  EXPECT_FALSE(outcome.timed_out);
  const Json report = Json::parse(folder.read("report.json"), nullptr, false);
  EXPECT_FALSE(report.is_discarded()) << outcome.errors;
  EXPECT_EQ(report.value("exit_code", -1), outcome.exit_code);
  return report;
}

TEST(Report, NamesOneKernelForAllProfiles) {
  REQUIRE_KVM();
  std::set<std::string> kernels;
  std::set<std::string> profiles;
  std::set<int> memories;
  for (const char* profile : {"phone", "tablet", "watch"}) {
    const Json report = run_and_report({profile}, {"/bin/busybox", "true"});
    kernels.insert(report.at("kernel_sha256").get<std::string>());
    profiles.insert(report.at("profile").get<std::string>());
    memories.insert(report.at("memory_mib").get<int>());
  }
  EXPECT_EQ(kernels.size(), 1U);
  EXPECT_EQ(kernels.begin()->size(), 64U);
  EXPECT_EQ(profiles, (std::set<std::string>{"phone", "tablet", "watch"}));
  EXPECT_GT(memories.size(), 1U);
}

TEST(Report, TellsTheExitCodeAndTheMachine) {
  REQUIRE_KVM();
  const Json report =
      run_and_report({"watch", "--cpus", "2", "--memory", "128M"}, {"/bin/busybox", "false"});
  EXPECT_EQ(report.at("exit_code"), 1);
  EXPECT_EQ(report.at("vcpus"), 2);
  EXPECT_EQ(report.at("memory_mib"), 128);
  EXPECT_FALSE(report.at("accelerator").get<std::string>().empty());
  EXPECT_GT(report.at("exits").size(), 0U);
}

TEST(Report, TellsThePhasesOfTheBoot) {
  REQUIRE_KVM();
  const Json boot = run_and_report({"watch"}, {"/bin/busybox", "true"}).at("boot");
  for (const char* phase :
       {"vmm_start_to_entry_us", "entry_to_first_user_us", "entry_to_command_us", "total_us"}) {
    ASSERT_TRUE(boot.at(phase).is_number()) << phase << " in " << boot;
    EXPECT_GT(boot.at(phase), 0) << phase;
  }
  EXPECT_LE(boot.at("entry_to_first_user_us"), boot.at("entry_to_command_us"));
  EXPECT_EQ(boot.at("total_us").get<int64_t>(), boot.at("vmm_start_to_entry_us").get<int64_t>() +
                                                    boot.at("entry_to_command_us").get<int64_t>());
}

TEST(Report, MemoryStaysSmall) {
  REQUIRE_KVM();
  const Json memory = run_and_report({"watch"}, {"/bin/busybox", "true"}).at("memory");
  EXPECT_GT(memory.at("vmm_rss_kib"), 0);
  EXPECT_GT(memory.at("guest_touched_kib"), 0);
#ifdef ENSEMBLE_SANITIZED
  GTEST_SKIP() << "a sanitizer's shadow memory counts as the process's";
#endif
  // Whether the host gives a large page for a small one is not ours to say.
  const int large = memory.at("vmm_large_pages_kib");
  EXPECT_LE(memory.at("vmm_rss_kib").get<int>() - large,
            on_lane_s() ? kMaximumVmmKibOnLaneS : kMaximumVmmKib);
  EXPECT_LE(memory.at("vmm_anonymous_kib").get<int>() - large, kMaximumAnonymousKib);
  EXPECT_LE(memory.at("guest_touched_kib"), kMaximumTouchedKib);
}

TEST(Report, MemoryOfEndedProgramsServesAgain) {
  REQUIRE_KVM();
  const Json memory =
      run_and_report({"watch"},
                     {"/bin/busybox", "sh", "-c",
                      "i=0; while [ $i -lt 60 ]; do /bin/busybox true; i=$((i+1)); done"})
          .at("memory");
  EXPECT_LE(memory.at("guest_touched_kib"), kMaximumTouchedKib);
}

TEST(Report, ThatCannotBeWrittenIsAnErrorThatNamesIt) {
  REQUIRE_KVM();
  const Outcome outcome =
      run_ensemble({"run", "watch", "--report", "/dev/full", "--", "/bin/busybox", "true"});
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_NE(outcome.errors.find("/dev/full"), std::string::npos) << outcome.errors;
}

}  // namespace
}  // namespace ensemble::integration
