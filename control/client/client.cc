#include "control/client/client.h"

#include <fmt/format.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/client_context.h>

#include <optional>
#include <utility>

#include "control/client/channel.h"
#include "control/ensemble/v1/console.grpc.pb.h"
#include "control/ensemble/v1/devices.grpc.pb.h"
#include "control/ensemble/v1/errors.pb.h"
#include "control/ensemble/v1/exec.grpc.pb.h"
#include "control/ensemble/v1/files.grpc.pb.h"
#include "control/ensemble/v1/host.grpc.pb.h"
#include "control/ensemble/v1/input.grpc.pb.h"
#include "control/ensemble/v1/logs.grpc.pb.h"
#include "control/ensemble/v1/metrics.grpc.pb.h"
#include "control/ensemble/v1/operations.grpc.pb.h"

namespace ensemble::control {
namespace {

constexpr std::uint32_t kPage = 1000;

Error to_error(const grpc::Status& status, const std::string& socket) {
  const std::string& message = status.error_message();
  // The daemon's own answers of this code have details.
  if (status.error_code() == grpc::UNAVAILABLE && status.error_details().empty()) {
    if (!socket.starts_with('/')) {
      return Error(fmt::format("no daemon answers at '{}': {}", socket, message));
    }
    return Error(fmt::format(
        "no daemon answers at '{}'; start one with `ensembled &`, or say where it is with "
        "ENSEMBLE_SOCKET or ENSEMBLE_ADDRESS",
        socket));
  }
  if (status.error_code() == grpc::DEADLINE_EXCEEDED) {
    return Error(fmt::format("the daemon at '{}' did not answer in time", socket));
  }
  return Error(message.empty() ? fmt::format("the call failed with code {}",
                                             static_cast<int>(status.error_code()))
                               : message);
}

// Of the google.rpc.Status in a status, whose field 3 has details; empty: there is none.
std::string reason_of(const grpc::Status& status) {
  constexpr int kDetails = 3;
  google::protobuf::UnknownFieldSet fields;
  if (!fields.ParseFromString(status.error_details())) {
    return {};
  }
  for (int i = 0; i < fields.field_count(); ++i) {
    google::protobuf::Any any;
    v1::ErrorDetail detail;
    if (fields.field(i).number() == kDetails &&
        fields.field(i).type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED &&
        any.ParseFromString(fields.field(i).length_delimited()) && any.UnpackTo(&detail)) {
      return detail.reason();
    }
  }
  return {};
}

class Program : public RunningProgram {
 public:
  Program(v1::Exec::Stub& stub, std::string socket)
      : socket_(std::move(socket)), stream_(stub.Run(&context_)) {}

  Result<v1::RunResponse> read() override {
    v1::RunResponse response;
    if (stream_->Read(&response)) {
      return response;
    }
    const grpc::Status status = stream_->Finish();
    reason_ = reason_of(status);
    return std::unexpected(status.ok() ? Error("the program's end did not arrive")
                                       : to_error(status, socket_));
  }

  std::string reason() const override { return reason_; }
  bool send(const v1::RunRequest& request) override { return stream_->Write(request); }
  void cancel() override { context_.TryCancel(); }

 private:
  const std::string socket_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::RunRequest, v1::RunResponse>> stream_;
  std::string reason_;
};

class Attachment : public ConsoleAttachment {
 public:
  Attachment(v1::Console::Stub& stub, std::string socket)
      : socket_(std::move(socket)), stream_(stub.Attach(&context_)) {}

  Result<std::string> read() override {
    v1::AttachResponse response;
    while (stream_->Read(&response)) {
      if (!response.output().empty()) {
        return std::move(*response.mutable_output());
      }
    }
    const grpc::Status status = stream_->Finish();
    if (!status.ok() && status.error_code() != grpc::CANCELLED) {
      return std::unexpected(to_error(status, socket_));
    }
    return std::string();
  }

  bool type(const std::string& text) override {
    v1::AttachRequest request;
    request.set_input(text);
    return stream_->Write(request);
  }

  bool resize(std::uint32_t columns, std::uint32_t rows) override {
    v1::AttachRequest request;
    request.mutable_size()->set_columns(columns);
    request.mutable_size()->set_rows(rows);
    return stream_->Write(request);
  }

  bool begin(const v1::AttachRequest::Begin& begin) {
    v1::AttachRequest request;
    *request.mutable_begin() = begin;
    return stream_->Write(request);
  }

  void leave() override { context_.TryCancel(); }

 private:
  const std::string socket_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::AttachRequest, v1::AttachResponse>> stream_;
};

}  // namespace

struct Client::Stubs {
  explicit Stubs(const DaemonAddress& address)
      : channel(make_channel(address)),
        devices(channel),
        operations(channel),
        console(channel),
        exec(channel),
        files(channel),
        logs(channel),
        metrics(channel),
        host(channel),
        input(channel) {}

  std::shared_ptr<grpc::Channel> channel;
  v1::Devices::Stub devices;
  v1::Operations::Stub operations;
  v1::Console::Stub console;
  v1::Exec::Stub exec;
  v1::Files::Stub files;
  v1::Logs::Stub logs;
  v1::Metrics::Stub metrics;
  v1::Host::Stub host;
  v1::Input::Stub input;
};

namespace {

// One unary call.
template <typename Response, typename Stub, typename Request>
Result<Response> call(Stub& stub,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      const Request& request, const std::string& socket,
                      std::optional<std::chrono::seconds> patience = Client::kCallPatience) {
  grpc::ClientContext context;
  if (patience) {
    context.set_deadline(std::chrono::system_clock::now() + *patience);
  }
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) {
    return std::unexpected(to_error(status, socket));
  }
  return response;
}

template <typename Message, typename Visit>
Result<void> read_all(grpc::ClientContext& context,
                      std::unique_ptr<grpc::ClientReader<Message>> reader, const Visit& visit,
                      const std::string& socket) {
  Message message;
  bool wanted = true;
  while (wanted && reader->Read(&message)) {
    wanted = visit(message);
  }
  if (!wanted) {
    context.TryCancel();
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok() && wanted) {
    return std::unexpected(to_error(status, socket));
  }
  return {};
}

template <typename Request>
Request named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

}  // namespace

Client::Client(std::string socket) {
  DaemonAddress address;
  address.socket = std::move(socket);
  set_address(std::move(address));
}

Client::Client(DaemonAddress address) {
  set_address(std::move(address));
}

void Client::set_address(DaemonAddress address) {
  address_ = std::move(address);
  socket_ = address_.place();
}

Client::~Client() = default;

Client::Stubs& Client::stubs() {
  std::call_once(once_, [this] { stubs_ = std::make_unique<Stubs>(address_); });
  return *stubs_;
}

Result<v1::Device> Client::create(const v1::CreateDeviceRequest& request) {
  return call(stubs().devices, &v1::Devices::Stub::CreateDevice, request, socket_);
}

Result<v1::Device> Client::get(const std::string& name) {
  return call(stubs().devices, &v1::Devices::Stub::GetDevice, named<v1::GetDeviceRequest>(name),
              socket_);
}

Result<std::vector<v1::Device>> Client::list(const std::string& filter) {
  std::vector<v1::Device> devices;
  v1::ListDevicesRequest request;
  request.set_filter(filter);
  request.set_page_size(kPage);
  do {
    auto page = call(stubs().devices, &v1::Devices::Stub::ListDevices, request, socket_);
    if (!page) {
      return std::unexpected(page.error());
    }
    for (v1::Device& device : *page->mutable_devices()) {
      devices.push_back(std::move(device));
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return devices;
}

Result<v1::Device> Client::update(const v1::UpdateDeviceRequest& request) {
  return call(stubs().devices, &v1::Devices::Stub::UpdateDevice, request, socket_);
}

Result<v1::Device> Client::pause(const std::string& name) {
  return call(stubs().devices, &v1::Devices::Stub::PauseDevice, named<v1::PauseDeviceRequest>(name),
              socket_);
}

Result<v1::Device> Client::resume(const std::string& name) {
  return call(stubs().devices, &v1::Devices::Stub::ResumeDevice,
              named<v1::ResumeDeviceRequest>(name), socket_);
}

Result<v1::Device> Client::reset(const std::string& name) {
  return call(stubs().devices, &v1::Devices::Stub::ResetDevice, named<v1::ResetDeviceRequest>(name),
              socket_);
}

Result<void> Client::start(const std::string& name) {
  return wait(call(stubs().devices, &v1::Devices::Stub::StartDevice,
                   named<v1::StartDeviceRequest>(name), socket_));
}

Result<void> Client::stop(const std::string& name) {
  return wait(call(stubs().devices, &v1::Devices::Stub::StopDevice,
                   named<v1::StopDeviceRequest>(name), socket_));
}

Result<void> Client::remove(const std::string& name, bool force) {
  auto request = named<v1::DeleteDeviceRequest>(name);
  request.set_force(force);
  return wait(call(stubs().devices, &v1::Devices::Stub::DeleteDevice, request, socket_));
}

Result<void> Client::wait(Result<v1::Operation> started) {
  if (started && !started->done()) {
    started = call(stubs().operations, &v1::Operations::Stub::WaitOperation,
                   named<v1::WaitOperationRequest>(started->name()), socket_, std::nullopt);
  }
  if (!started) {
    return std::unexpected(started.error());
  }
  if (started->has_error()) {
    return fail("{}", started->error().message());
  }
  return {};
}

Result<void> Client::watch(const std::string& filter, const Visit<v1::DeviceEvent>& visit) {
  grpc::ClientContext context;
  v1::WatchDevicesRequest request;
  request.set_filter(filter);
  return read_all(context, stubs().devices.WatchDevices(&context, request), visit, socket_);
}

Result<void> Client::read_logs(const v1::ReadLogsRequest& request,
                               const Visit<v1::LogChunk>& visit) {
  grpc::ClientContext context;
  return read_all(context, stubs().logs.ReadLogs(&context, request), visit, socket_);
}

Result<std::unique_ptr<ConsoleAttachment>> Client::attach(const v1::AttachRequest::Begin& begin) {
  auto attachment = std::make_unique<Attachment>(stubs().console, socket_);
  if (!attachment->begin(begin)) {
    auto ended = attachment->read();
    return ended ? fail("the daemon at '{}' has ended the connection", socket_)
                 : std::unexpected(ended.error());
  }
  return attachment;
}

std::unique_ptr<RunningProgram> Client::run(const v1::RunRequest::Begin& begin) {
  auto program = std::make_unique<Program>(stubs().exec, socket_);
  v1::RunRequest request;
  *request.mutable_begin() = begin;
  (void)program->send(request);  // What is wrong is read.
  return program;
}

Result<void> Client::push(const v1::PushRequest::Begin& begin,
                          const std::function<Result<std::string>()>& next) {
  grpc::ClientContext context;
  v1::PushResponse response;
  const auto writer = stubs().files.Push(&context, &response);
  v1::PushRequest request;
  *request.mutable_begin() = begin;
  while (writer->Write(request)) {
    auto piece = next();
    if (!piece) {
      context.TryCancel();
      (void)writer->Finish();
      return std::unexpected(piece.error());
    }
    if (piece->empty()) {
      break;
    }
    request.set_data(std::move(*piece));
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  return status.ok() ? Result<void>() : std::unexpected(to_error(status, socket_));
}

Result<std::uint64_t> Client::push_state(const v1::PushRequest::Begin& begin) {
  auto request = named<v1::GetPushStateRequest>(begin.name());
  request.set_path(begin.path());
  request.set_sha256(begin.sha256());
  const auto state = call(stubs().files, &v1::Files::Stub::GetPushState, request, socket_);
  return state ? Result<std::uint64_t>(state->received_bytes()) : std::unexpected(state.error());
}

Result<void> Client::pull(const v1::PullRequest& request, const Visit<v1::PullResponse>& visit) {
  grpc::ClientContext context;
  return read_all(context, stubs().files.Pull(&context, request), visit, socket_);
}

Result<std::vector<v1::FileEntry>> Client::list_files(const std::string& device,
                                                      const std::string& path) {
  grpc::ClientContext context;
  auto request = named<v1::ListFilesRequest>(device);
  request.set_path(path);
  std::vector<v1::FileEntry> entries;
  const Visit<v1::FileEntry> visit = [&](const v1::FileEntry& entry) {
    entries.push_back(entry);
    return true;
  };
  auto read = read_all(context, stubs().files.List(&context, request), visit, socket_);
  return read ? Result<std::vector<v1::FileEntry>>(std::move(entries))
              : std::unexpected(read.error());
}

Result<v1::FileEntry> Client::stat_file(const std::string& device, const std::string& path) {
  auto request = named<v1::StatRequest>(device);
  request.set_path(path);
  return call(stubs().files, &v1::Files::Stub::Stat, request, socket_);
}

Result<void> Client::send_input(const v1::SendInputRequest& request) {
  const auto sent = call(stubs().input, &v1::Input::Stub::SendInput, request, socket_);
  return sent ? Result<void>() : std::unexpected(sent.error());
}

Result<std::vector<v1::DeviceMetrics>> Client::metrics(v1::ListDeviceMetricsRequest request) {
  std::vector<v1::DeviceMetrics> all;
  if (request.names().empty()) {
    request.set_page_size(kPage);
  }
  do {
    auto page = call(stubs().metrics, &v1::Metrics::Stub::ListDeviceMetrics, request, socket_,
                     kMetricsPatience);
    if (!page) {
      return std::unexpected(page.error());
    }
    for (v1::DeviceMetrics& metrics : *page->mutable_metrics()) {
      all.push_back(std::move(metrics));
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

Result<v1::HostInformation> Client::host() {
  return call(stubs().host, &v1::Host::Stub::GetHost, v1::GetHostRequest(), socket_);
}

}  // namespace ensemble::control
