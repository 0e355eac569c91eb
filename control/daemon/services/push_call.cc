#include "control/daemon/services/push_call.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/wire.h"
#include "control/daemon/services/agent_call.h"
#include "control/daemon/services/calls.h"

namespace ensemble::control {
namespace {

using agent::FrameHeader;
using agent::FrameType;
using Begin = v1::PushRequest::Begin;

constexpr std::size_t kLargestData = std::size_t{1} << 20;
constexpr std::uint32_t kMostPermissions = 07777;
constexpr std::uint32_t kUsualPermissions = 0644;
constexpr std::uint32_t kUsualDirectoryPermissions = 0755;
constexpr std::size_t kLongestTarget = 4095;
constexpr std::int64_t kNanoseconds = 1'000'000'000;
// Of times that 64 bits of nanoseconds hold.
constexpr std::int64_t kLastSecond = INT64_MAX / kNanoseconds - 1;
// How fast an agent checks and syncs a file, at least, and for how many seconds it may.
constexpr std::uint64_t kBytesPerSecond = std::uint64_t{4} << 20;
constexpr std::uint64_t kMostPatience = 3600;

bool is_file(const Begin& begin) {
  return begin.type() == v1::FILE_TYPE_UNSPECIFIED || begin.type() == v1::FILE_TYPE_REGULAR;
}

ApiResult<void> check_contents(const Begin& begin) {
  if (is_file(begin)) {
    if (begin.size() > INT64_MAX) {
      return invalid_argument("begin.size", std::to_string(begin.size()),
                              "at most 9223372036854775807");
    }
    if (begin.offset() > begin.size()) {
      return invalid_argument("begin.offset", std::to_string(begin.offset()),
                              fmt::format("at most the file's size, {}", begin.size()));
    }
    return check_digest("begin.sha256", begin.sha256());
  }
  if (begin.size() != 0 || begin.offset() != 0 || !begin.sha256().empty()) {
    return invalid_argument("begin.size", std::to_string(begin.size()),
                            "no size, offset and checksum for what is no regular file");
  }
  return {};
}

ApiResult<void> check(const Begin& begin) {
  if (auto good = check_device_path("begin.path", begin.path()); !good) {
    return good;
  }
  if (begin.path().ends_with('/')) {
    return invalid_argument("begin.path", begin.path(), "a path that does not end with '/'");
  }
  if (begin.mode() > kMostPermissions) {
    return invalid_argument("begin.mode", fmt::format("{:o}", begin.mode()),
                            "at most 7777 in octal");
  }
  if (!is_file(begin) && begin.type() != v1::FILE_TYPE_DIRECTORY &&
      begin.type() != v1::FILE_TYPE_SYMBOLIC_LINK) {
    return invalid_argument("begin.type", std::to_string(begin.type()),
                            "a regular file, a directory or a symbolic link");
  }
  if ((begin.type() == v1::FILE_TYPE_SYMBOLIC_LINK) != !begin.target().empty() ||
      begin.target().size() > kLongestTarget || begin.target().find('\0') != std::string::npos) {
    return invalid_argument("begin.target", begin.target().substr(0, begin.target().find('\0')),
                            "1 to 4095 bytes without NUL for a symbolic link, else none");
  }
  const google::protobuf::Timestamp& time = begin.modification_time();
  if (time.seconds() < -kLastSecond || time.seconds() > kLastSecond || time.nanos() < 0 ||
      time.nanos() >= kNanoseconds) {
    return invalid_argument("begin.modification_time",
                            fmt::format("{} s, {} ns", time.seconds(), time.nanos()),
                            "a time from 1678 to 2261, with 0 to 999999999 ns");
  }
  return check_contents(begin);
}

std::string push_body(const Begin& begin) {
  std::uint32_t flags = 0;
  flags |= begin.make_directories() ? agent::kMakeDirectories : 0U;
  flags |= begin.has_modification_time() ? agent::kSetTime : 0U;
  flags |= begin.type() == v1::FILE_TYPE_DIRECTORY ? agent::kDirectory : 0U;
  flags |= begin.type() == v1::FILE_TYPE_SYMBOLIC_LINK ? agent::kLink : 0U;
  const std::uint32_t usual =
      begin.type() == v1::FILE_TYPE_DIRECTORY ? kUsualDirectoryPermissions : kUsualPermissions;
  agent::BodyWriter body;
  body.text(begin.path())
      .number(begin.size())
      .number(begin.offset())
      .text(begin.sha256())
      .number(begin.has_mode() ? begin.mode() : usual)
      .number(begin.user_id())
      .number(begin.group_id())
      .number(flags)
      .number(std::int64_t{begin.modification_time().seconds() * kNanoseconds +
                           begin.modification_time().nanos()})
      .text(begin.target());
  return body.body();
}

}  // namespace

ApiResult<void> check_digest(const std::string& field, const std::string& digest) {
  if (digest.size() != agent::kDigestSize) {
    return invalid_argument(field, fmt::format("{} bytes", digest.size()),
                            "the 32 bytes of a SHA-256");
  }
  return {};
}

PushCall::PushCall(ServiceContext& context, v1::PushResponse* response)
    : context_(context), response_(response) {}

void PushCall::enter() {
  context_.loop.post([this] {
    closing_id_ = context_.closing.add([this] { finish(daemon_ends().to_status()); });
    read();
  });
}

void PushCall::OnReadDone(bool ok) {
  context_.loop.post([this, ok] { received(ok); });
}

void PushCall::OnCancel() {
  context_.loop.post([this] { finish(grpc::Status::CANCELLED); });
}

void PushCall::OnDone() {
  // Behind all that this has posted.
  context_.loop.post([this] {
    context_.closing.remove(closing_id_);
    delete this;
  });
}

void PushCall::read() {
  is_reading_ = true;
  StartRead(&request_);
}

void PushCall::received(bool ok) {
  is_reading_ = false;
  if (finished_) {
    return;
  }
  if (!conversation_) {
    refuse(start());
  } else if (ok) {
    refuse(take_data());
  } else {
    end_of_data();
  }
}

void PushCall::refuse(const ApiResult<void>& result) {
  if (!result) {
    finish(result.error().to_status());
  }
}

ApiResult<void> PushCall::start() {
  if (!request_.has_begin()) {
    return invalid_argument("request", "", "`begin` in the first message");
  }
  const Begin& begin = request_.begin();
  if (auto good = check(begin); !good) {
    return good;
  }
  path_ = begin.path();
  size_ = begin.size();
  left_ = begin.size() - begin.offset();
  auto begun = context_.agents.begin(
      begin.name(), "write a file in", FrameType::kPush, push_body(begin),
      {.frame = [this](const FrameHeader& header, std::string_view body) { take(header, body); },
       .writable = [this] { proceed(); },
       .broken = [this](const ApiError& error) { finish(error.to_status()); }});
  if (!begun) {
    return std::unexpected(begun.error());
  }
  conversation_ = std::move(*begun);
  proceed();
  return {};
}

ApiResult<void> PushCall::take_data() {
  if (request_.request_case() != v1::PushRequest::kData) {
    return invalid_argument("request", "", "`data` after the first message");
  }
  if (request_.data().empty() || request_.data().size() > kLargestData) {
    return invalid_argument("data", fmt::format("{} bytes", request_.data().size()),
                            "1 to 1048576 bytes in one message");
  }
  if (request_.data().size() > left_) {
    return invalid_argument(
        "data", fmt::format("{} bytes", request_.data().size()),
        fmt::format("at most the {} bytes that are left of `begin.size`", left_));
  }
  left_ -= request_.data().size();
  data_ = std::move(*request_.mutable_data());
  proceed();
  return {};
}

void PushCall::end_of_data() {
  if (left_ != 0) {
    refuse(invalid_argument("data", fmt::format("{} bytes", size_ - left_),
                            fmt::format("the {} bytes of `begin.size`", size_)));
    return;
  }
  ended_ = true;
  conversation_->send(FrameType::kEndOfData, agent::kContents);
  patience_.expect(AgentPatience::kUsual +
                   std::chrono::seconds(std::min(size_ / kBytesPerSecond, kMostPatience)));
}

void PushCall::proceed() {
  if (!conversation_ || finished_ || ended_) {
    return;
  }
  while (passed_ < data_.size() && conversation_->may_send()) {
    passed_ += conversation_->send_data(agent::kContents, std::string_view(data_).substr(passed_));
  }
  if (passed_ < data_.size() || conversation_->is_congested()) {
    patience_.expect();
    return;
  }
  patience_.expect_nothing();
  if (!is_reading_) {
    data_.clear();
    passed_ = 0;
    read();
  }
}

void PushCall::take(const FrameHeader& header, std::string_view body) {
  if (header.type == FrameType::kDone) {
    response_->set_size(size_);
    finish(grpc::Status::OK);
  } else if (header.type == FrameType::kFailed) {
    finish(agent_failure(header, body, "CANNOT_WRITE", "begin.path", path_,
                         // Of the checksum, where the agent has no number for it.
                         header.detail == 0 && ended_ ? grpc::DATA_LOSS : grpc::FAILED_PRECONDITION)
               .to_status());
  } else {
    finish(ApiError(grpc::UNAVAILABLE, "AGENT_BROKEN",
                    "the device's agent broke the protocol: its answer is not one to a kPush")
               .to_status());
  }
}

void PushCall::finish(grpc::Status status) {
  if (!std::exchange(finished_, true)) {
    patience_.expect_nothing();
    conversation_.reset();
    context_.closing.remove(closing_id_);
    Finish(std::move(status));
  }
}

}  // namespace ensemble::control
