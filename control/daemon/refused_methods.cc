#include "control/daemon/refused_methods.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "control/daemon/api_error.h"
#include "control/daemon/caller_check.h"
#include "control/daemon/method_roles.h"

namespace ensemble::control {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;

// A stream that has ended when it begins.
template <typename Reactor>
class Refusal : public Reactor {
 public:
  explicit Refusal(grpc::Status status) { this->Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

// What generated code does for methods whose messages are not parsed.
grpc::internal::MethodHandler* make_handler(const google::protobuf::MethodDescriptor& method,
                                            const grpc::Status& status) {
  if (method.client_streaming() && method.server_streaming()) {
    return new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
        [status](CallbackServerContext*) {
          return new Refusal<grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>>(status);
        });
  }
  if (method.client_streaming()) {
    return new grpc::internal::CallbackClientStreamingHandler<ByteBuffer, ByteBuffer>(
        [status](CallbackServerContext*, ByteBuffer*) {
          return new Refusal<grpc::ServerReadReactor<ByteBuffer>>(status);
        });
  }
  if (method.server_streaming()) {
    return new grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>(
        [status](CallbackServerContext*, const ByteBuffer*) {
          return new Refusal<grpc::ServerWriteReactor<ByteBuffer>>(status);
        });
  }
  return new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
      [status](CallbackServerContext* context, const ByteBuffer*, ByteBuffer*) {
        grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
        reactor->Finish(status);
        return reactor;
      });
}

// Replaces the handlers of any service.
struct Replacer : grpc::Service {
  static void replace(grpc::Service& service, int index, grpc::internal::MethodHandler* handler) {
    (service.*&Replacer::MarkMethodRawCallback)(index, handler);
  }
};

}  // namespace

void refuse_methods(grpc::Service& service, const std::string& name, Role role) {
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
  for (int i = 0; i < descriptor->method_count(); ++i) {
    const std::string path = "/" + name + "/" + descriptor->method(i)->name();
    if (role < role_for_method(path)) {
      const ApiError error(grpc::PERMISSION_DENIED, "ROLE_MISSING",
                           role_is_missing(path, role).error_message());
      Replacer::replace(service, i, make_handler(*descriptor->method(i), error.to_status()));
    }
  }
}

}  // namespace ensemble::control
