#include "control/profile_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/outline.h"
#include "device-model/profile_json.h"
#include "device-model/profile_loader.h"

namespace ensemble::control {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<std::string> list_profiles_as(OutputFormat format) {
  Json list = Json::array();
  std::string text;
  for (const device::ProfileEntry& entry : device::list_profiles()) {
    const auto profile = device::load_profile(entry.path.string());
    Json line = {{"name", entry.name}, {"path", entry.path.string()}};
    if (profile) {
      line["model"] = profile->model;
      text += fmt::format("{:<12} {:<24} {} CPUs, {} MiB\n", entry.name, profile->model,
                          profile->cpus, profile->memory >> 20);
    } else {
      line["error"] = profile.error().message();
      text += fmt::format("{:<12} broken: {}\n", entry.name, profile.error().message());
    }
    list.push_back(std::move(line));
  }
  return format == OutputFormat::kJson ? dump(list) : text;
}

Result<std::string> show_profile_as(const std::string& name_or_path, OutputFormat format) {
  const auto profile = device::load_profile(name_or_path);
  if (!profile) {
    return std::unexpected(profile.error());
  }
  const Json json = device::to_json(*profile);
  return format == OutputFormat::kJson ? dump(json) : to_outline(json);
}

ValidationOutcome validate_profile_as(const std::string& path, OutputFormat format) {
  const bool looks_like_path = path.find('/') != std::string::npos;
  const auto profile = device::load_profile(looks_like_path ? path : "./" + path);
  ValidationOutcome outcome{.valid = profile.has_value(), .output = {}};
  if (format == OutputFormat::kJson) {
    Json json = {{"path", path}, {"valid", outcome.valid}};
    json["error"] = profile ? Json(nullptr) : Json(profile.error().message());
    outcome.output = dump(json);
  } else {
    outcome.output = profile ? fmt::format("{} is valid: {}\n", path, profile->model)
                             : profile.error().message() + "\n";
  }
  return outcome;
}

}  // namespace ensemble::control
