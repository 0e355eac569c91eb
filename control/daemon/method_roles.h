#pragma once

#include <optional>
#include <string_view>

#include "control/access/role.h"

namespace ensemble::control {

// The role that calling a method takes, by the method's path such as
// "/ensemble.v1.Devices/GetDevice". Absent: the table does not have it.
std::optional<Role> role_in_table(std::string_view path);

// The same; a method that the table does not have takes kAdmin.
Role role_for_method(std::string_view path);

}  // namespace ensemble::control
