#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/wire.h"
#include "control/daemon/services/agent_call.h"
#include "control/daemon/services/agent_patience.h"
#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/exec.grpc.pb.h"

namespace ensemble::control {
namespace {

using agent::BodyWriter;
using agent::FrameHeader;
using agent::FrameType;

constexpr std::size_t kLongestInput = std::size_t{256} << 10;
constexpr std::size_t kLargestOutput = std::size_t{256} << 10;
constexpr int kMostWords = 4096;
constexpr std::size_t kMostText = std::size_t{128} << 10;
constexpr std::uint32_t kLastSignal = 64;
constexpr std::uint32_t kMostCells = 65535;
constexpr std::uint32_t kUsualColumns = 80;
constexpr std::uint32_t kUsualRows = 24;

using Bidi = grpc::ServerBidiReactor<v1::RunRequest, v1::RunResponse>;

bool holds_nul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

ApiResult<void> check_command(const v1::RunRequest::Begin& begin) {
  if (begin.command().empty() || begin.command(0).empty()) {
    return invalid_argument("begin.command", "", "the program to run, and its arguments");
  }
  if (begin.command_size() > kMostWords) {
    return invalid_argument("begin.command", fmt::format("{} words", begin.command_size()),
                            "at most 4096");
  }
  std::size_t size = 0;
  for (const std::string& word : begin.command()) {
    if (holds_nul(word)) {
      return invalid_argument("begin.command", word.substr(0, word.find('\0')),
                              "words without NUL bytes");
    }
    size += word.size() + 1;
  }
  if (begin.environment_size() > kMostWords) {
    return invalid_argument("begin.environment",
                            fmt::format("{} variables", begin.environment_size()), "at most 4096");
  }
  for (const auto& [name, value] : begin.environment()) {
    if (name.empty() || name.find('=') != std::string::npos || holds_nul(name) ||
        holds_nul(value)) {
      return invalid_argument("begin.environment", name.substr(0, name.find('\0')),
                              "names that are not empty and hold no '=', and no NUL bytes");
    }
    size += name.size() + value.size() + 2;
  }
  if (size > kMostText) {
    return invalid_argument("begin.command", fmt::format("{} bytes", size),
                            "at most 131072 bytes with the environment");
  }
  return {};
}

ApiResult<void> check_size(const std::string& field, const v1::TerminalSize& size) {
  if (size.columns() > kMostCells || size.rows() > kMostCells) {
    return invalid_argument(field, fmt::format("{} by {}", size.columns(), size.rows()),
                            "at most 65535 columns and rows");
  }
  return {};
}

ApiResult<void> check(const v1::RunRequest::Begin& begin) {
  if (auto good = check_command(begin); !good) {
    return good;
  }
  if (!begin.working_directory().empty()) {
    if (auto good = check_device_path("begin.working_directory", begin.working_directory());
        !good) {
      return good;
    }
  }
  // The number that chown(2) and others have for "unchanged".
  if (begin.user_id() == UINT32_MAX || begin.group_id() == UINT32_MAX) {
    return invalid_argument(begin.user_id() == UINT32_MAX ? "begin.user_id" : "begin.group_id",
                            std::to_string(UINT32_MAX), "at most 4294967294");
  }
  return check_size("begin.terminal", begin.terminal());
}

std::string run_body(const v1::RunRequest::Begin& begin) {
  std::uint32_t flags = 0;
  if (begin.has_user_id() || begin.has_group_id()) {
    flags |= agent::kAsUser;
  }
  if (begin.has_terminal()) {
    flags |= agent::kOnTerminal;
  }
  const auto or_usual = [](std::uint32_t cells, std::uint32_t usual) {
    return static_cast<std::uint16_t>(cells == 0 ? usual : cells);
  };
  BodyWriter body;
  body.number(flags)
      .number(begin.user_id())
      .number(begin.has_group_id() ? begin.group_id() : begin.user_id())
      .number(or_usual(begin.terminal().columns(), kUsualColumns))
      .number(or_usual(begin.terminal().rows(), kUsualRows))
      .text(begin.working_directory());
  body.number(static_cast<std::uint32_t>(begin.command_size()));
  for (const std::string& word : begin.command()) {
    body.text(word);
  }
  body.number(static_cast<std::uint32_t>(begin.environment_size()));
  for (const auto& [name, value] : begin.environment()) {
    body.text(name + "=" + value);
  }
  return body.body();
}

// One program in a device. Its output goes to the client at the client's pace: the agent has credit
// for what was passed on. The next request is read when the last one is on its way.
class RunCall : public StreamCall<Bidi, v1::RunResponse> {
 public:
  RunCall(ServiceContext& context, grpc::CallbackServerContext* call)
      : StreamCall(context.loop, context.closing, call), context_(context) {}

  void OnReadDone(bool ok) override {
    loop().post([this, ok] { received(ok); });
  }

 private:
  struct Output {
    std::uint32_t channel;
    std::string bytes;
  };

  void begin() override { read(); }

  void end() override {
    patience_.expect_nothing();
    if (conversation_ && !is_over_) {
      context_.agents.end_program(std::move(conversation_));
    }
    conversation_.reset();
  }

  void received(bool ok) {
    is_reading_ = false;
    if (is_finished()) {
      return;
    }
    if (!ok && conversation_) {
      half_closed_ = true;
      end_input();
      return;
    }
    const auto done = conversation_ ? obey() : start();
    if (!done) {
      finish(done.error().to_status());
    }
  }

  ApiResult<void> start() {
    if (!request_.has_begin()) {
      return invalid_argument("request", "", "`begin` in the first message");
    }
    const v1::RunRequest::Begin& begin = request_.begin();
    if (auto good = check(begin); !good) {
      return good;
    }
    program_ = begin.command(0);
    auto begun = context_.agents.begin(
        begin.name(), "run a program in", FrameType::kRun, run_body(begin),
        {.frame = [this](const FrameHeader& header, std::string_view body) { take(header, body); },
         .writable = [this] { proceed(); },
         .broken =
             [this](const ApiError& error) {
               is_over_ = true;
               finish(error.to_status());
             }},
        begin.no_input());
    if (!begun) {
      return std::unexpected(begun.error());
    }
    conversation_ = std::move(*begun);
    input_ended_ = begin.no_input();
    patience_.expect();
    proceed();
    return {};
  }

  ApiResult<void> obey() {
    switch (request_.request_case()) {
      case v1::RunRequest::kStandardInput:
        if (request_.standard_input().size() > kLongestInput) {
          return invalid_argument("standard_input",
                                  fmt::format("{} bytes", request_.standard_input().size()),
                                  "at most 262144 bytes in one message");
        }
        if (input_ended_) {
          return failed_precondition("INPUT_ENDED", "input came after `end_of_input`");
        }
        input_ = std::move(*request_.mutable_standard_input());
        break;
      case v1::RunRequest::kEndOfInput:
        if (request_.end_of_input()) {
          end_input();
        }
        break;
      case v1::RunRequest::kSignal:
        if (request_.signal() == 0 || request_.signal() > kLastSignal) {
          return invalid_argument("signal", std::to_string(request_.signal()), "1 to 64");
        }
        conversation_->send(FrameType::kSignal, request_.signal());
        break;
      case v1::RunRequest::kSize:
        if (auto good = check_size("size", request_.size()); !good) {
          return good;
        }
        conversation_->send(FrameType::kResize, request_.size().columns() | request_.size().rows()
                                                                                << 16);
        break;
      default:
        return invalid_argument(
            "request", "",
            "`standard_input`, `end_of_input`, `signal` or `size` after the first message");
    }
    proceed();
    return {};
  }

  // Passes on what input there is credit and room for, and reads on once all of it has gone.
  void proceed() {
    if (!conversation_ || is_finished()) {
      return;
    }
    while (passed_ < input_.size() && conversation_->may_send()) {
      passed_ +=
          conversation_->send_data(agent::kStandardInput, std::string_view(input_).substr(passed_));
    }
    if (passed_ < input_.size() || is_reading_ || half_closed_ || conversation_->is_congested()) {
      return;
    }
    input_.clear();
    passed_ = 0;
    read();
  }

  void read() {
    is_reading_ = true;
    StartRead(&request_);
  }

  void end_input() {
    if (!std::exchange(input_ended_, true)) {
      conversation_->send(FrameType::kEndOfData, agent::kStandardInput);
    }
  }

  void take(const FrameHeader& header, std::string_view body) {
    is_over_ = is_last(header.type);
    if (is_over_ || header.type == FrameType::kStarted) {
      patience_.expect_nothing();
    }
    switch (header.type) {
      case FrameType::kStarted:
        if (!std::exchange(started_, header.detail)) {
          drained();
        }
        return;
      case FrameType::kData:
        if (header.detail == agent::kStandardOutput || header.detail == agent::kStandardError) {
          queue(header.detail, body);
        }
        return;
      case FrameType::kEnded:
        ended_.emplace();
        if ((header.detail & agent::kKilled) != 0) {
          ended_->set_signal(header.detail & 0x7f);
        } else {
          ended_->set_exit_code(header.detail & 0xff);
        }
        break;
      case FrameType::kFailed:
        failure_ = agent_failure(header, body, "CANNOT_RUN", "begin.command", program_).to_status();
        break;
      default:
        // It may be a last one, and nobody would hear of the end.
        finish(ApiError(grpc::UNAVAILABLE, "AGENT_BROKEN",
                        "the device's agent broke the protocol: its answer is not one to a kRun")
                   .to_status());
        return;
    }
    drained();
  }

  // Bytes of one channel are kept in order, and lie together: there may be many small pieces.
  void queue(std::uint32_t channel, std::string_view bytes) {
    const auto fits = [&](const Output& output) {
      return output.channel == channel && output.bytes.size() + bytes.size() <= kLargestOutput;
    };
    const std::size_t count = output_.size();
    if (count > 0 && fits(output_.back())) {
      output_.back().bytes += bytes;
    } else if (count > 1 && output_.back().channel != channel && fits(output_[count - 2])) {
      output_[count - 2].bytes += bytes;
    } else {
      output_.push_back({channel, std::string(bytes)});
    }
    drained();
  }

  void drained() override {
    if (!is_idle()) {
      return;
    }
    conversation_->passed_on(std::exchange(sending_, 0));
    v1::RunResponse response;
    if (started_ && !std::exchange(told_start_, true)) {
      response.mutable_started()->set_process_id(*started_);
      send(std::move(response));
    } else if (!output_.empty()) {
      Output& output = output_.front();
      sending_ = output.bytes.size();
      (output.channel == agent::kStandardError ? *response.mutable_standard_error()
                                               : *response.mutable_standard_output()) =
          std::move(output.bytes);
      output_.pop_front();
      send(std::move(response));
    } else if (ended_) {
      *response.mutable_ended() = *ended_;
      ended_.reset();
      send(std::move(response));
      finish_behind(grpc::Status::OK);
    } else if (failure_) {
      finish(*failure_);
    }
  }

  ServiceContext& context_;
  AgentPatience patience_{context_.loop,
                          [this](grpc::Status status) { finish(std::move(status)); }};
  v1::RunRequest request_;
  bool is_reading_ = false;  // The request is gRPC's.
  std::string input_;
  std::size_t passed_ = 0;  // of the input
  bool input_ended_ = false;
  bool half_closed_ = false;
  std::string program_;
  std::unique_ptr<AgentConversation> conversation_;
  std::optional<std::uint32_t> started_;
  bool told_start_ = false;
  std::deque<Output> output_;
  std::size_t sending_ = 0;  // bytes of output that gRPC has
  bool is_over_ = false;     // in the device
  std::optional<v1::RunResponse::Ended> ended_;
  std::optional<grpc::Status> failure_;
};

class ExecService final : public v1::Exec::CallbackService {
 public:
  explicit ExecService(ServiceContext& context) : context_(context) {}

  Bidi* Run(grpc::CallbackServerContext* call) override {
    auto* run = new RunCall(context_, call);  // Destroys itself.
    run->enter();
    return run;
  }

 private:
  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_exec_service(ServiceContext& context) {
  return std::make_unique<ExecService>(context);
}

}  // namespace ensemble::control
