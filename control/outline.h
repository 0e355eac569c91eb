#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ensemble::control {

// A JSON object as indented "key: value" lines for people.
std::string to_outline(const nlohmann::ordered_json& json);

}  // namespace ensemble::control
