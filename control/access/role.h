#pragma once

#include <string>
#include <string_view>

#include "vmm/error.h"

namespace ensemble::control {

// What a client may do; each role may do what those before it may.
enum class Role {
  // Looks: devices, logs, profiles, figures.
  kViewer,
  // Works with devices that are there: starts, stops, types, executes.
  kOperator,
  // Everything, also making and deleting devices, and naming files of the daemon's host.
  kAdmin,
};

// "viewer", "operator" or "admin".
std::string_view to_string(Role role);

// The Error names the three.
Result<Role> parse_role(std::string_view name);

}  // namespace ensemble::control
