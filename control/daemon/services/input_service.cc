#include <memory>

#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/input.grpc.pb.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"

namespace ensemble::control {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

ApiResult<ensemble::vmm::v1::SendInput> to_process(const v1::SendInputRequest& request) {
  ensemble::vmm::v1::SendInput input;
  switch (request.input_case()) {
    case v1::SendInputRequest::kKey:
      input.mutable_press_key()->set_key(request.key().key());
      input.mutable_press_key()->set_down(request.key().down());
      return input;
    case v1::SendInputRequest::kTouch: {
      auto& touch = *input.mutable_touch_screen();
      touch.set_contact(request.touch().contact());
      if (request.touch().has_place()) {
        touch.mutable_place()->set_x(request.touch().place().x());
        touch.mutable_place()->set_y(request.touch().place().y());
      }
      return input;
    }
    case v1::SendInputRequest::kRotary:
      input.mutable_rotate_crown()->set_detents(request.rotary().detents());
      return input;
    case v1::SendInputRequest::kSwitch:
      input.mutable_set_switch()->set_name(request.switch_().switch_());
      input.mutable_set_switch()->set_on(request.switch_().on());
      return input;
    case v1::SendInputRequest::INPUT_NOT_SET:
      break;
  }
  return invalid_argument("input", "", "`key`, `touch`, `rotary` or `switch`");
}

class InputService final : public v1::Input::CallbackService {
 public:
  explicit InputService(ServiceContext& context) : context_(context) {}

  Unary* SendInput(Context*, const v1::SendInputRequest* request,
                   v1::SendInputResponse* response) override {
    return serve_later(context_.loop, context_.closing, response, [this, request](auto done) {
      auto input = to_process(*request);
      if (!input) {
        done(std::unexpected(input.error()));
        return;
      }
      const auto device = context_.devices.find(request->name());
      if (!device) {
        done(std::unexpected(device.error()));
        return;
      }
      (*device)->send_input(*std::move(input), [done](const ApiResult<void>& sent) mutable {
        if (sent) {
          done(v1::SendInputResponse());
        } else {
          done(std::unexpected(sent.error()));
        }
      });
    });
  }

 private:
  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_input_service(ServiceContext& context) {
  return std::make_unique<InputService>(context);
}

}  // namespace ensemble::control
