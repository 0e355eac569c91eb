#pragma once

#include <grpcpp/impl/service_type.h>

#include <string>

#include "control/access/role.h"

namespace ensemble::control {

// Has all methods of a service that take more than this role refuse, whatever they are asked.
// `name` is the service's full name; before the service is registered with a server.
void refuse_methods(grpc::Service& service, const std::string& name, Role role);

}  // namespace ensemble::control
