#pragma once

#include <nlohmann/json.hpp>

#include "device-model/profile.h"

namespace ensemble::device {

// The profile for programs to read. Keys carry their units; parts that the product lacks are
// absent.
nlohmann::ordered_json to_json(const Profile& profile);

}  // namespace ensemble::device
