#include "control/report.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

namespace ensemble::control {
namespace {

using Json = nlohmann::ordered_json;

// The difference of two milestones, or null where either is absent or they are out of order, as a
// guest is free to report them.
Json interval(const std::uint64_t* from, const std::uint64_t* to) {
  if (from == nullptr || to == nullptr || *from > *to) {
    return nullptr;
  }
  return *to - *from;
}

Json boot_json(const ensemble::vmm::v1::Milestones& milestones) {
  constexpr std::uint64_t kStart = 0;
  const std::uint64_t entry_us = milestones.kernel_entry_us();
  const std::uint64_t user_us = milestones.first_user_us();
  const std::uint64_t command_us = milestones.command_started_us();
  const auto* entry = milestones.has_kernel_entry_us() ? &entry_us : nullptr;
  const auto* user = milestones.has_first_user_us() ? &user_us : nullptr;
  const auto* command = milestones.has_command_started_us() ? &command_us : nullptr;
  return {{"vmm_start_to_entry_us", interval(&kStart, entry)},
          {"entry_to_first_user_us", interval(entry, user)},
          {"entry_to_command_us", interval(entry, command)},
          {"total_us", interval(&kStart, command)}};
}

Json memory_json(const ensemble::vmm::v1::Measurements& measurements) {
  if (!measurements.has_memory()) {
    return {{"vmm_rss_kib", nullptr},
            {"vmm_anonymous_kib", nullptr},
            {"vmm_large_pages_kib", nullptr},
            {"guest_touched_kib", nullptr}};
  }
  return {{"vmm_rss_kib", measurements.memory().vmm_rss_kib()},
          {"vmm_anonymous_kib", measurements.memory().vmm_anonymous_kib()},
          {"vmm_large_pages_kib", measurements.memory().vmm_large_pages_kib()},
          {"guest_touched_kib", measurements.memory().guest_touched_kib()}};
}

constexpr std::pair<std::uint32_t, const char*> kCallNames[] = {
#define CALL(number, name) {number, name},
#include "control/system_call_names.inc"
#undef CALL
};

std::string call_name(std::uint32_t number) {
  for (const auto& [known, name] : kCallNames) {
    if (known == number) {
      return name;
    }
  }
  return fmt::format("number_{}", number);
}

Json missed_calls_json(const ensemble::vmm::v1::Measurements& measurements) {
  Json calls = Json::array();
  for (const auto& missed : measurements.missed_calls()) {
    calls.push_back({{"name", call_name(missed.number())}, {"count", missed.count()}});
  }
  return calls;
}

}  // namespace

std::string to_json(const RunReport& report) {
  // A map of protobuf has no order of its own; the report is the same for the same run.
  const std::map<std::string, std::uint64_t> exits(report.measurements.exits().begin(),
                                                   report.measurements.exits().end());
  const Json json = {{"profile", report.profile},
                     {"kernel_sha256", report.kernel_sha256},
                     {"accelerator", report.accelerator},
                     {"vcpus", report.vcpus},
                     {"memory_mib", report.memory_mib},
                     {"exit_code", report.exit_code},
                     {"boot", boot_json(report.measurements.milestones())},
                     {"memory", memory_json(report.measurements)},
                     {"missed_calls", missed_calls_json(report.measurements)},
                     {"exits", exits}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ensemble::control
