#include "control/daemon/call_timer.h"

#include <chrono>

namespace ensemble::control {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::ServerRpcInfo;
using Clock = std::chrono::steady_clock;

// Of one call; gRPC destroys it with the call.
class TimedCall final : public grpc::experimental::Interceptor {
 public:
  TimedCall(ApiMetrics& metrics, const ServerRpcInfo& call) : metrics_(metrics), call_(call) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      metrics_.count(call_.method(), batch->GetSendStatus().error_code());
      if (call_.type() == ServerRpcInfo::Type::UNARY) {
        metrics_.time(call_.method(), Clock::now() - begin_);
      }
    }
    batch->Proceed();
  }

 private:
  ApiMetrics& metrics_;
  const ServerRpcInfo& call_;
  const Clock::time_point begin_ = Clock::now();
};

}  // namespace

grpc::experimental::Interceptor* CallTimer::CreateServerInterceptor(ServerRpcInfo* call) {
  return new TimedCall(metrics_, *call);
}

}  // namespace ensemble::control
