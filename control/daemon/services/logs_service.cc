#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "control/daemon/device_record.h"
#include "control/daemon/log_reader.h"
#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/logs.grpc.pb.h"
#include "control/served_process.h"

namespace ensemble::control {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::uint32_t kMostLines = 1'000'000;

// Sends a device's logs at the client's own pace.
class LogStream : public StreamCall<grpc::ServerWriteReactor<v1::LogChunk>, v1::LogChunk> {
 public:
  LogStream(ServiceContext& context, grpc::CallbackServerContext* call,
            const v1::ReadLogsRequest& request)
      : StreamCall(context.loop, context.closing, call), context_(context), request_(request) {}

 private:
  void begin() override {
    if (auto opened = open(); !opened) {
      finish(opened.error().to_status());
    } else {
      drained();
    }
  }

  void end() override { context_.devices.unwatch(watch_); }

  ApiResult<void> open() {
    if (request_.tail_lines() > kMostLines) {
      return invalid_argument("tail_lines", std::to_string(request_.tail_lines()),
                              "at most 1000000");
    }
    const auto device = context_.devices.find(request_.name());
    if (!device) {
      return std::unexpected(device.error());
    }
    const std::string folder = (*device)->folder();
    const auto wants = [this](v1::LogSource source) {
      return request_.sources().empty() ||
             std::ranges::find(request_.sources(), source) != request_.sources().end();
    };
    if (wants(v1::LOG_SOURCE_CONSOLE)) {
      console_.emplace(folder + "/" + kConsoleLogName);
      if (request_.tail_lines() != 0) {
        console_->skip_to_last_lines(request_.tail_lines());
      }
    }
    if (wants(v1::LOG_SOURCE_PROCESS)) {
      process_.emplace(folder + "/" + kProcessLogName);
      if (request_.tail_lines() != 0) {
        process_->skip_to_last_lines(request_.tail_lines());
      }
    }
    since_ns_ = request_.has_since() ? to_nanoseconds(request_.since()) : 0;
    if (request_.follow()) {
      follow(folder, (*device)->record().uid());
    }
    return {};
  }

  // Times before 1970 as 1970, those that 64 bits do not hold as the last one that they do.
  static std::int64_t to_nanoseconds(const google::protobuf::Timestamp& time) {
    constexpr std::int64_t kLastSecond = INT64_MAX / 1'000'000'000 - 1;
    return time.seconds() > kLastSecond
               ? INT64_MAX
               : std::max<std::int64_t>(TimeUtil::TimestampToNanoseconds(time), 0);
  }

  void follow(const std::string& folder, const std::string& uid) {
    watch_changes(folder);
    watch_ = context_.devices.watch(
        [this, folder, uid](v1::DeviceEvent::Kind kind, const v1::Device& device) {
          if (device.uid() != uid) {
            return;
          }
          if (kind == v1::DeviceEvent::KIND_DELETED) {
            finish_behind(grpc::Status::OK);
            return;
          }
          // The folder of a device comes to be with its first start.
          if (!changes_) {
            watch_changes(folder);
          }
          drained();
        });
  }

  void watch_changes(const std::string& folder) {
    if (auto changes = context_.changes.watch(folder, [this] { drained(); })) {
      changes_ = std::move(*changes);
    }
  }

  void drained() override {
    while (is_idle()) {
      auto chunk = next();
      if (!chunk) {
        if (!request_.follow()) {
          finish(grpc::Status::OK);
        }
        return;
      }
      send(std::move(*chunk));
    }
  }

  std::optional<v1::LogChunk> next() {
    while (console_) {
      auto piece = since_ns_ == 0 ? console_->next_pieces() : console_->next();
      if (!piece) {
        break;
      }
      if (piece->time_ns >= static_cast<std::uint64_t>(since_ns_)) {
        v1::LogChunk chunk;
        chunk.set_source(v1::LOG_SOURCE_CONSOLE);
        *chunk.mutable_time() =
            TimeUtil::NanosecondsToTimestamp(static_cast<std::int64_t>(piece->time_ns));
        chunk.set_data(std::move(piece->data));
        return chunk;
      }
    }
    if (auto piece = process_ ? process_->next() : std::nullopt) {
      v1::LogChunk chunk;
      chunk.set_source(v1::LOG_SOURCE_PROCESS);
      chunk.set_data(std::move(piece->data));
      return chunk;
    }
    return std::nullopt;
  }

  ServiceContext& context_;
  const v1::ReadLogsRequest request_;
  std::optional<ConsoleLogReader> console_;
  std::optional<TextLogReader> process_;
  std::int64_t since_ns_ = 0;
  std::optional<FolderChanges::Watch> changes_;
  std::uint64_t watch_ = 0;
};

class LogsService final : public v1::Logs::CallbackService {
 public:
  explicit LogsService(ServiceContext& context) : context_(context) {}

  grpc::ServerWriteReactor<v1::LogChunk>* ReadLogs(grpc::CallbackServerContext* call,
                                                   const v1::ReadLogsRequest* request) override {
    auto* stream = new LogStream(context_, call, *request);  // Destroys itself.
    stream->enter();
    return stream;
  }

 private:
  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_logs_service(ServiceContext& context) {
  return std::make_unique<LogsService>(context);
}

}  // namespace ensemble::control
