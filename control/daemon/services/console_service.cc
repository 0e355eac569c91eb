#include <memory>
#include <optional>
#include <string>

#include "control/daemon/device_record.h"
#include "control/daemon/log_reader.h"
#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/console.grpc.pb.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/served_process.h"

namespace ensemble::control {
namespace {

constexpr std::uint32_t kMostScrollback = 1 << 20;
constexpr std::size_t kLongestInput = 65536;

using Bidi = grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>;

// One viewer of a console. Output comes from the console's log, at the viewer's own pace.
class Attachment : public StreamCall<Bidi, v1::AttachResponse> {
 public:
  Attachment(ServiceContext& context, grpc::CallbackServerContext* call)
      : StreamCall(context.loop, context.closing, call), context_(context) {}

  void OnReadDone(bool ok) override {
    loop().post([this, ok] { received(ok); });
  }

 private:
  void begin() override { StartRead(&request_); }

  void end() override { context_.devices.unwatch(watch_); }

  void received(bool ok) {
    if (is_finished()) {
      return;
    }
    if (!ok && !device_.empty()) {
      return;  // The client types no more. It goes on looking.
    }
    const auto done = device_.empty() ? attach() : obey();
    if (!done) {
      finish(done.error().to_status());
    }
  }

  ApiResult<void> attach() {
    if (!request_.has_begin()) {
      return invalid_argument("request", "", "`begin` in the first message");
    }
    const v1::AttachRequest::Begin& begin = request_.begin();
    if (begin.scrollback_bytes() > kMostScrollback) {
      return invalid_argument("begin.scrollback_bytes", std::to_string(begin.scrollback_bytes()),
                              "at most 1048576");
    }
    const auto device = context_.devices.find(begin.name());
    if (!device) {
      return std::unexpected(device.error());
    }
    const v1::Device& record = (*device)->record();
    if (!is_active(record.status().state())) {
      return std::unexpected(
          ApiError(grpc::FAILED_PRECONDITION, "WRONG_STATE",
                   fmt::format("cannot attach to {}: it is {}; start it first, or read its log",
                               record.name(), state_name(record.status().state())))
              .about("device.status.state", state_name(record.status().state()), "RUNNING"));
    }
    device_ = record.name();
    read_only_ = begin.read_only();
    reader_.emplace((*device)->folder() + "/" + kConsoleLogName);
    reader_->skip_to_last_bytes(begin.scrollback_bytes());
    auto changes = context_.changes.watch((*device)->folder(), [this] { drained(); });
    if (!changes) {
      return internal(changes.error());
    }
    changes_ = std::move(*changes);
    watch_ = context_.devices.watch(
        [this, uid = record.uid()](v1::DeviceEvent::Kind kind, const v1::Device& changed) {
          if (changed.uid() == uid) {
            device_changed(kind, changed);
          }
        });
    if (begin.has_size()) {
      resize(begin.size());
    }
    drained();
    if (!is_finished()) {
      StartRead(&request_);
    }
    return {};
  }

  ApiResult<void> obey() {
    if (request_.has_size()) {
      resize(request_.size());
      StartRead(&request_);
      return {};
    }
    if (request_.request_case() != v1::AttachRequest::kInput) {
      return invalid_argument("request", "", "`input` or `size` after the first message");
    }
    if (read_only_) {
      return failed_precondition("READ_ONLY", "this viewer asked to look only");
    }
    if (request_.input().size() > kLongestInput) {
      return invalid_argument("input", fmt::format("{} bytes", request_.input().size()),
                              "at most 65536 bytes in one message");
    }
    context_.consoles.type(device_, std::move(*request_.mutable_input()),
                           [this, alive = std::weak_ptr(alive_)](const ApiResult<void>& typed) {
                             if (alive.expired() || is_finished()) {
                               return;
                             }
                             if (typed) {
                               StartRead(&request_);
                             } else {
                               finish(typed.error().to_status());
                             }
                           });
    return {};
  }

  void resize(const v1::TerminalSize& size) {
    const auto device = context_.devices.find(device_);
    if (device) {
      ensemble::vmm::v1::Request request;
      auto& console = *request.mutable_resize_console()->mutable_size();
      console.set_columns(size.columns());
      console.set_rows(size.rows());
      (*device)->tell(std::move(request));
    }
  }

  void device_changed(v1::DeviceEvent::Kind kind, const v1::Device& device) {
    if (kind == v1::DeviceEvent::KIND_DELETED || !is_active(device.status().state())) {
      has_ended_ = true;
      drained();
    }
  }

  void drained() override {
    while (reader_ && is_idle()) {
      auto piece = reader_->next_pieces();
      if (!piece) {
        if (has_ended_) {
          finish(grpc::Status::OK);
        }
        return;
      }
      v1::AttachResponse response;
      response.set_output(std::move(piece->data));
      send(std::move(response));
    }
  }

  ServiceContext& context_;
  v1::AttachRequest request_;
  std::string device_;
  bool read_only_ = false;
  bool has_ended_ = false;
  std::optional<ConsoleLogReader> reader_;
  FolderChanges::Watch changes_;
  std::uint64_t watch_ = 0;
  // Input may still wait when the call is over.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class ConsoleService final : public v1::Console::CallbackService {
 public:
  explicit ConsoleService(ServiceContext& context) : context_(context) {}

  Bidi* Attach(grpc::CallbackServerContext* call) override {
    auto* attachment = new Attachment(context_, call);  // Destroys itself.
    attachment->enter();
    return attachment;
  }

 private:
  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_console_service(ServiceContext& context) {
  return std::make_unique<ConsoleService>(context);
}

}  // namespace ensemble::control
