#pragma once

#include <grpcpp/support/server_interceptor.h>

#include "control/daemon/api_metrics.h"

namespace ensemble::control {

// Tells ApiMetrics of each call of a gRPC server.
class CallTimer final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  // `metrics` outlives the server.
  explicit CallTimer(ApiMetrics& metrics) : metrics_(metrics) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* call) override;

 private:
  ApiMetrics& metrics_;
};

}  // namespace ensemble::control
