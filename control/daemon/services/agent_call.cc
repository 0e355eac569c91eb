#include "control/daemon/services/agent_call.h"

#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

#include "control/loop_timer.h"
#include "control/printable.h"

namespace ensemble::control {
namespace {

using agent::FrameHeader;
using agent::FrameType;

constexpr std::size_t kLongestPath = 4095;
constexpr std::chrono::seconds kAnswerPatience{10};
constexpr std::uint32_t kPermissions = 07777;

v1::FileType type_of(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return v1::FILE_TYPE_REGULAR;
    case S_IFDIR:
      return v1::FILE_TYPE_DIRECTORY;
    case S_IFLNK:
      return v1::FILE_TYPE_SYMBOLIC_LINK;
    default:
      return v1::FILE_TYPE_OTHER;
  }
}

grpc::StatusCode code_of(std::uint32_t error_number, grpc::StatusCode otherwise) {
  switch (error_number) {
    case ENOENT:
      return grpc::NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
      return grpc::PERMISSION_DENIED;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
      return grpc::RESOURCE_EXHAUSTED;
    case EBADMSG:
      return grpc::DATA_LOSS;
    default:
      return otherwise;
  }
}

// One question under way. Keeps itself until it is answered.
class Asked : public std::enable_shared_from_this<Asked> {
 public:
  using Done = std::function<void(ApiResult<AgentAnswer> answer)>;

  Asked(ServiceContext& context, AgentQuestion question, Done done)
      : context_(context), question_(std::move(question)), done_(std::move(done)) {}

  void begin() {
    auto begun = context_.agents.begin(
        question_.device, question_.verb, question_.type, question_.body,
        {.frame = [this](const FrameHeader& header, std::string_view body) { take(header, body); },
         .writable = [] {},
         .broken = [this](const ApiError& error) { finish(std::unexpected(error)); }});
    if (!begun) {
      done_(std::unexpected(begun.error()));
      return;
    }
    conversation_ = std::move(*begun);
    self_ = shared_from_this();
    auto timer = LoopTimer::create(context_.loop, [this] {
      finish(std::unexpected(ApiError(grpc::UNAVAILABLE, "AGENT_SILENT",
                                      fmt::format("{}: its agent did not answer in {} s",
                                                  question_.device, kAnswerPatience.count()))));
    });
    if (timer) {
      timer_ = std::move(*timer);
      timer_->set(kAnswerPatience);
    }
  }

 private:
  void take(const FrameHeader& header, std::string_view body) {
    agent::BodyReader reader(body);
    if (header.type == FrameType::kEntry) {
      v1::FileEntry entry;
      // One is enough for all that is asked here.
      if (answer_.entries.empty() && read_entry(reader, entry)) {
        answer_.entries.push_back(std::move(entry));
      }
    } else if (header.type == FrameType::kFailed) {
      finish(
          std::unexpected(agent_failure(header, body, question_.reason, "path", question_.path)));
    } else if (header.type == FrameType::kDone) {
      answer_.size = reader.number<std::uint64_t>();
      finish(std::move(answer_));
    }
  }

  void finish(ApiResult<AgentAnswer> answer) {
    if (!self_) {
      return;
    }
    // Not at once: its handlers and its timer are at work.
    context_.loop.post([self = std::move(self_)] {});
    self_.reset();
    done_(std::move(answer));
  }

  ServiceContext& context_;
  const AgentQuestion question_;
  const Done done_;
  std::unique_ptr<AgentConversation> conversation_;
  std::unique_ptr<LoopTimer> timer_;
  AgentAnswer answer_;
  std::shared_ptr<Asked> self_;
};

}  // namespace

ApiError agent_failure(const agent::FrameHeader& header, std::string_view body,
                       const std::string& reason, const std::string& field,
                       const std::string& value, grpc::StatusCode otherwise) {
  const std::string sentence = printable(agent::BodyReader(body).text());
  return ApiError(code_of(header.detail, otherwise), reason,
                  sentence.empty() ? "the device's agent refused, without a reason" : sentence)
      .about(field, value, {});
}

bool read_entry(agent::BodyReader& body, v1::FileEntry& entry) {
  entry.set_name(std::string(body.text()));
  const auto mode = body.number<std::uint32_t>();
  entry.set_type(type_of(mode));
  entry.set_mode(mode & kPermissions);
  entry.set_size(body.number<std::uint64_t>());
  entry.set_user_id(body.number<std::uint32_t>());
  entry.set_group_id(body.number<std::uint32_t>());
  const auto time = body.number<std::int64_t>();
  *entry.mutable_modification_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(time);
  entry.set_target(std::string(body.text()));
  return body.ok();
}

void ask_agent(ServiceContext& context, const AgentQuestion& question,
               std::function<void(ApiResult<AgentAnswer> answer)> done) {
  std::make_shared<Asked>(context, question, std::move(done))->begin();
}

ApiResult<void> check_device_path(const std::string& field, const std::string& path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos) {
    return invalid_argument(field, printable(path), "an absolute path in the device");
  }
  if (path.size() > kLongestPath) {
    return invalid_argument(field, path, "at most 4095 bytes");
  }
  return {};
}

}  // namespace ensemble::control
