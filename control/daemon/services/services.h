#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "control/daemon/services/service_context.h"

namespace ensemble::control {

// The services of ensemble.v1. `context` outlives them.
std::unique_ptr<grpc::Service> make_devices_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_operations_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_console_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_exec_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_files_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_logs_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_profiles_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_host_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_input_service(ServiceContext& context);
std::unique_ptr<grpc::Service> make_metrics_service(ServiceContext& context);

}  // namespace ensemble::control
