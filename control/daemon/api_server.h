#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <memory>
#include <vector>

#include "control/access/role.h"
#include "control/daemon/api_metrics.h"
#include "control/daemon/services/service_context.h"
#include "control/daemon/tcp_options.h"
#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// gRPC's part of the daemon: all services, for one kind of clients. Thread-safe.
class ApiServer {
 public:
  // For connections that are handed over and whose clients have the role. `context` outlives it.
  // `metrics` may be null, and outlives it otherwise.
  static Result<std::unique_ptr<ApiServer>> for_role(ServiceContext& context, Role role,
                                                     ApiMetrics* metrics);
  // For connections of a TCP port that are handed over, where each call is judged. Expects that
  // check() found the options good.
  static Result<std::unique_ptr<ApiServer>> for_port(ServiceContext& context,
                                                     const TcpOptions& options,
                                                     ApiMetrics* metrics);

  // Serves a connected socket.
  void serve(vmm::FileDescriptor socket);

  // Waits for calls to end, until `deadline`, and then ends them.
  void shut_down(std::chrono::system_clock::time_point deadline);

 private:
  explicit ApiServer(ServiceContext& context);

  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> port_;  // Null without one.
  std::unique_ptr<grpc::Server> server_;  // Destroyed before the services.
};

}  // namespace ensemble::control
