#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <memory>
#include <string>

#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/operations.grpc.pb.h"
#include "control/loop_timer.h"

namespace ensemble::control {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;
using google::protobuf::util::TimeUtil;

constexpr std::chrono::hours kLongestWait{24};

// Waits for an operation's end, for a timeout or for the client to go away.
class OperationWait : public Unary {
 public:
  OperationWait(ServiceContext& context, const v1::WaitOperationRequest& request,
                v1::Operation* response)
      : context_(context), request_(request), response_(response) {}

  void enter() {
    context_.loop.post([this] { begin(); });
  }
  void OnCancel() override {
    context_.loop.post([this] { finish(grpc::Status::CANCELLED); });
  }
  void OnDone() override {
    context_.loop.post([this] {
      context_.operations.unwatch(request_.name(), watch_);
      context_.closing.remove(closing_id_);
      delete this;
    });
  }

 private:
  void begin() {
    closing_id_ = context_.closing.add([this] { finish(daemon_ends().to_status()); });
    const auto operation = context_.operations.get(request_.name());
    if (!operation) {
      finish(operation.error().to_status());
      return;
    }
    if (operation->done()) {
      answer();
      return;
    }
    watch_ = context_.operations.watch(request_.name(), [this](const v1::Operation& changed) {
      if (changed.done()) {
        answer();
      }
    });
    if (request_.has_timeout()) {
      const std::chrono::milliseconds asked(TimeUtil::DurationToMilliseconds(request_.timeout()));
      auto timer = LoopTimer::create(context_.loop, [this] { answer(); });
      if (!timer) {
        finish(internal(timer.error()).error().to_status());
        return;
      }
      timer_ = std::move(*timer);
      timer_->set(
          std::clamp<std::chrono::milliseconds>(asked, std::chrono::milliseconds(0), kLongestWait));
    }
  }

  void answer() {
    const auto operation = context_.operations.get(request_.name());
    if (!operation) {
      finish(operation.error().to_status());
    } else if (!finished_) {
      *response_ = *operation;
      finish(grpc::Status::OK);
    }
  }

  void finish(grpc::Status status) {
    if (!std::exchange(finished_, true)) {
      timer_.reset();
      Finish(std::move(status));
    }
  }

  ServiceContext& context_;
  const v1::WaitOperationRequest request_;
  v1::Operation* response_;
  std::uint64_t watch_ = 0;
  std::uint64_t closing_id_ = 0;
  std::unique_ptr<LoopTimer> timer_;
  bool finished_ = false;
};

class OperationWatch : public StreamCall<grpc::ServerWriteReactor<v1::Operation>, v1::Operation> {
 public:
  OperationWatch(ServiceContext& context, Context* call, std::string name)
      : StreamCall(context.loop, context.closing, call),
        context_(context),
        name_(std::move(name)) {}

 private:
  void begin() override {
    const auto operation = context_.operations.get(name_);
    if (!operation) {
      finish(operation.error().to_status());
      return;
    }
    if (!operation->done()) {
      watch_ =
          context_.operations.watch(name_, [this](const v1::Operation& changed) { tell(changed); });
    }
    tell(*operation);
  }
  void end() override { context_.operations.unwatch(name_, watch_); }

  void tell(const v1::Operation& operation) {
    send(operation);
    if (operation.done()) {
      finish_behind(grpc::Status::OK);
    }
  }

  ServiceContext& context_;
  const std::string name_;
  std::uint64_t watch_ = 0;
};

class OperationsService final : public v1::Operations::CallbackService {
 public:
  explicit OperationsService(ServiceContext& context) : context_(context) {}

  Unary* GetOperation(Context* call, const v1::GetOperationRequest* request,
                      v1::Operation* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.operations.get(request->name()); });
  }

  Unary* ListOperations(Context* call, const v1::ListOperationsRequest* request,
                        v1::ListOperationsResponse* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.operations.list(*request); });
  }

  Unary* WaitOperation(Context*, const v1::WaitOperationRequest* request,
                       v1::Operation* response) override {
    auto* wait = new OperationWait(context_, *request, response);  // Destroys itself.
    wait->enter();
    return wait;
  }

  grpc::ServerWriteReactor<v1::Operation>* WatchOperation(
      Context* call, const v1::WatchOperationRequest* request) override {
    auto* watch = new OperationWatch(context_, call, request->name());  // Destroys itself.
    watch->enter();
    return watch;
  }

  Unary* CancelOperation(Context* call, const v1::CancelOperationRequest* request,
                         v1::CancelOperationResponse* response) override {
    return serve(context_.loop, call, response,
                 [this, request]() -> ApiResult<v1::CancelOperationResponse> {
                   if (auto cancelled = context_.operations.cancel(request->name()); !cancelled) {
                     return std::unexpected(cancelled.error());
                   }
                   return v1::CancelOperationResponse();
                 });
  }

 private:
  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_operations_service(ServiceContext& context) {
  return std::make_unique<OperationsService>(context);
}

}  // namespace ensemble::control
