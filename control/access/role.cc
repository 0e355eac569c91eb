#include "control/access/role.h"

namespace ensemble::control {

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "";
}

Result<Role> parse_role(std::string_view name) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    if (name == to_string(role)) {
      return role;
    }
  }
  return fail("'{}' is no role; roles are viewer, operator and admin", name);
}

}  // namespace ensemble::control
