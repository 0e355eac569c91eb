#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

using Json = nlohmann::json;

// Less work on the emulated lane.
Arguments rounds() {
  return on_lane_s() ? Arguments{"300000"} : Arguments{"60000000"};
}

// Of the speedup that two threads of the host reach.
constexpr double kWantedShare = 0.8;

double seconds_of(int threads) {
  const auto work = [] {
    for (int64_t left = 150'000'000; left > 0; --left) {
      asm volatile("" : "+r"(left));  // Not to be computed away.
    }
  };
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::jthread> running;
  for (int index = 0; index < threads; ++index) {
    running.emplace_back(work);
  }
  running.clear();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double host_speedup() {
  const double one = seconds_of(1);
  return 2 * one / seconds_of(2);
}

Json run_smp_test(const std::string& processors) {
  Arguments arguments{"run", "phone", "--cpus", processors, "--", "/bin/smp-test", processors};
  const Arguments work = rounds();
  arguments.insert(arguments.end(), work.begin(), work.end());
  const Outcome outcome = run_ensemble(arguments, {}, default_limit() * 3);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
  return Json::parse(outcome.output, nullptr, false);
}

TEST(Processors, FourRunAndEachDoesItsShare) {
  REQUIRE_KVM();
  const Json result = run_smp_test("4");
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result.at("processors"), 4);
  EXPECT_EQ(result.at("threads"), 4);
  EXPECT_EQ(result.at("results_agree"), true);
  ASSERT_EQ(result.at("per_processor").size(), 4U);
  for (const Json& processor : result.at("per_processor")) {
    EXPECT_GT(processor.at("switches"), 0) << result;
  }
}

TEST(Processors, TwoThreadsFinishFasterThanOneAfterTheOther) {
  REQUIRE_KVM();
  if (std::thread::hardware_concurrency() < 2) {
    GTEST_SKIP() << "this host has one processor";
  }
  if (on_lane_s()) {
    GTEST_SKIP() << "emulated processors have no speed to compare; lane P does";
  }
  // Other work on the host takes time from the guest and from this program alike.
  double share = 0;
  for (int attempt = 0; attempt < 5 && share < kWantedShare; ++attempt) {
    const double possible = host_speedup();
    const Json result = run_smp_test("2");
    ASSERT_TRUE(result.is_object());
    share = std::max(share, result.at("speedup").get<double>() / possible);
  }
  EXPECT_GT(share, kWantedShare);
}

TEST(Processors, EightStart) {
  REQUIRE_KVM();
  const Outcome outcome =
      run_ensemble({"run", "watch", "--cpus", "8", "--", "/bin/busybox", "true"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
}

}  // namespace
}  // namespace ensemble::integration
