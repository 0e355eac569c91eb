#include "control/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ensemble::control {
namespace {

using Json = nlohmann::json;

RunReport watch_report() {
  RunReport report{.profile = "watch",
                   .kernel_sha256 = "abc",
                   .accelerator = "kvm_pvm",
                   .vcpus = 1,
                   .memory_mib = 64,
                   .exit_code = 3,
                   .measurements = {}};
  auto& milestones = *report.measurements.mutable_milestones();
  milestones.set_kernel_entry_us(10'000);
  milestones.set_first_user_us(14'000);
  milestones.set_command_started_us(30'000);
  auto& memory = *report.measurements.mutable_memory();
  memory.set_vmm_rss_kib(5'000);
  memory.set_vmm_anonymous_kib(1'000);
  memory.set_vmm_large_pages_kib(500);
  memory.set_guest_touched_kib(4'000);
  (*report.measurements.mutable_exits())["port_write"] = 12;
  (*report.measurements.mutable_exits())["mmio_read"] = 40;
  for (const auto& [number, count] : {std::pair(425U, 2U), std::pair(4'000'000'000U, 1U)}) {
    auto& missed = *report.measurements.add_missed_calls();
    missed.set_number(number);
    missed.set_count(count);
  }
  return report;
}

TEST(Report, HoldsEveryField) {
  const Json expected = Json::parse(R"({
    "profile": "watch", "kernel_sha256": "abc", "accelerator": "kvm_pvm", "vcpus": 1,
    "memory_mib": 64, "exit_code": 3,
    "boot": {"vmm_start_to_entry_us": 10000, "entry_to_first_user_us": 4000,
             "entry_to_command_us": 20000, "total_us": 30000},
    "memory": {"vmm_rss_kib": 5000, "vmm_anonymous_kib": 1000, "vmm_large_pages_kib": 500,
               "guest_touched_kib": 4000},
    "missed_calls": [{"name": "io_uring_setup", "count": 2},
                     {"name": "number_4000000000", "count": 1}],
    "exits": {"mmio_read": 40, "port_write": 12}})");
  EXPECT_EQ(Json::parse(to_json(watch_report())), expected);
}

TEST(Report, SaysNullForWhatIsNotKnown) {
  RunReport report = watch_report();
  report.measurements.mutable_milestones()->clear_first_user_us();
  report.measurements.clear_memory();
  const Json json = Json::parse(to_json(report));
  EXPECT_TRUE(json["boot"]["entry_to_first_user_us"].is_null());
  EXPECT_EQ(json["boot"]["entry_to_command_us"], 20'000);
  EXPECT_TRUE(json["memory"]["vmm_rss_kib"].is_null());
}

TEST(Report, DistrustsMilestonesOutOfOrder) {
  RunReport report = watch_report();
  report.measurements.mutable_milestones()->set_command_started_us(9'000);
  const Json json = Json::parse(to_json(report));
  EXPECT_TRUE(json["boot"]["entry_to_command_us"].is_null());
}

TEST(Report, SurvivesANameThatIsNoUtf8) {
  RunReport report = watch_report();
  report.profile = "w\xff";
  EXPECT_TRUE(Json::accept(to_json(report)));
}

}  // namespace
}  // namespace ensemble::control
