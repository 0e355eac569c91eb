#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/wire.h"
#include "control/daemon/services/agent_call.h"
#include "control/daemon/services/agent_patience.h"
#include "control/daemon/services/calls.h"
#include "control/daemon/services/push_call.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/files.grpc.pb.h"

namespace ensemble::control {
namespace {

using agent::BodyReader;
using agent::BodyWriter;
using agent::FrameHeader;
using agent::FrameType;
using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

constexpr std::size_t kLargestData = std::size_t{256} << 10;
// Of entries that wait for the client: the agent sends all of them at once.
constexpr std::size_t kMostEntries = std::size_t{8} << 20;
// Of all of a directory.
constexpr std::uint64_t kMostInAll = std::uint64_t{512} << 20;

// Of an agent that says what it was not asked: such a frame may be the last, and nobody would hear
// of the end.
grpc::Status broken_protocol(const char* what) {
  return ApiError(grpc::UNAVAILABLE, "AGENT_BROKEN",
                  fmt::format("the device's agent broke the protocol: {}", what))
      .to_status();
}

// A file on its way to the client, at the client's pace.
class PullCall : public StreamCall<grpc::ServerWriteReactor<v1::PullResponse>, v1::PullResponse> {
 public:
  PullCall(ServiceContext& context, Context* call, const v1::PullRequest& request)
      : StreamCall(context.loop, context.closing, call), context_(context), request_(request) {}

 private:
  void begin() override {
    if (auto begun = ask(); !begun) {
      finish(begun.error().to_status());
    }
  }

  void end() override {
    patience_.expect_nothing();
    conversation_.reset();
  }

  ApiResult<void> ask() {
    if (auto good = check_device_path("path", request_.path()); !good) {
      return good;
    }
    auto begun = context_.agents.begin(
        request_.name(), "read a file of", FrameType::kPull,
        BodyWriter().text(request_.path()).number(request_.offset()).body(),
        {.frame = [this](const FrameHeader& header, std::string_view body) { take(header, body); },
         .writable = [] {},
         .broken = [this](const ApiError& error) { finish(error.to_status()); }});
    if (!begun) {
      return std::unexpected(begun.error());
    }
    conversation_ = std::move(*begun);
    patience_.expect();
    return {};
  }

  void take(const FrameHeader& header, std::string_view body) {
    patience_.expect_nothing();
    BodyReader reader(body);
    if (header.type == FrameType::kEntry && !has_entry_) {
      has_entry_ = true;
      read_entry(reader, *entry_.emplace().mutable_entry());
      size_ = entry_->entry().size();
    } else if (header.type == FrameType::kData && has_entry_) {
      received_ += body.size();
      if (size_ != 0 && received_ > size_ - std::min(size_, request_.offset())) {
        finish(broken_protocol("it sent more than the file has"));
        return;
      }
      if (data_.empty() || data_.back().size() + body.size() > kLargestData) {
        data_.emplace_back(body);
      } else {
        data_.back() += body;
      }
    } else if (header.type == FrameType::kDone) {
      v1::PullResponse::End& end = *end_.emplace().mutable_end();
      end.set_size(reader.number<std::uint64_t>());
      end.set_sha256(std::string(reader.text()));
    } else if (header.type == FrameType::kFailed) {
      // A file that has been begun with fails by changing.
      failure_ = agent_failure(header, body, "CANNOT_READ", "path", request_.path(),
                               has_entry_ ? grpc::ABORTED : grpc::FAILED_PRECONDITION)
                     .to_status();
    } else {
      finish(broken_protocol("its answer is not one to a kPull"));
      return;
    }
    drained();
  }

  void drained() override {
    if (!is_idle()) {
      return;
    }
    conversation_->passed_on(std::exchange(sending_, 0));
    if (entry_) {
      send(*std::exchange(entry_, std::nullopt));
    } else if (!data_.empty()) {
      sending_ = data_.front().size();
      v1::PullResponse response;
      response.set_data(std::move(data_.front()));
      data_.pop_front();
      send(std::move(response));
    } else if (end_) {
      send(*std::exchange(end_, std::nullopt));
      finish_behind(grpc::Status::OK);
    } else if (failure_) {
      finish(*failure_);
    }
  }

  ServiceContext& context_;
  const v1::PullRequest request_;
  AgentPatience patience_{context_.loop,
                          [this](grpc::Status status) { finish(std::move(status)); }};
  std::unique_ptr<AgentConversation> conversation_;
  bool has_entry_ = false;
  std::uint64_t size_ = 0;      // of the entry; 0: not known
  std::uint64_t received_ = 0;  // bytes of data
  std::optional<v1::PullResponse> entry_;
  std::deque<std::string> data_;
  std::size_t sending_ = 0;  // bytes of data that gRPC has
  std::optional<v1::PullResponse> end_;
  std::optional<grpc::Status> failure_;
};

class ListCall : public StreamCall<grpc::ServerWriteReactor<v1::FileEntry>, v1::FileEntry> {
 public:
  ListCall(ServiceContext& context, Context* call, const v1::ListFilesRequest& request)
      : StreamCall(context.loop, context.closing, call), context_(context), request_(request) {}

 private:
  void begin() override {
    auto good = check_device_path("path", request_.path());
    auto begun = good
                     ? context_.agents.begin(
                           request_.name(), "list files of", FrameType::kList,
                           BodyWriter().text(request_.path()).body(),
                           {.frame = [this](const FrameHeader& header,
                                            std::string_view body) { take(header, body); },
                            .writable = [] {},
                            .broken = [this](const ApiError& error) { finish(error.to_status()); }})
                     : std::unexpected(good.error());
    if (begun) {
      conversation_ = std::move(*begun);
      patience_.expect();
    } else {
      finish(begun.error().to_status());
    }
  }

  void end() override {
    patience_.expect_nothing();
    conversation_.reset();
  }

  void take(const FrameHeader& header, std::string_view body) {
    patience_.expect_nothing();
    if (header.type == FrameType::kEntry) {
      patience_.expect();  // More of them, or the end.
      BodyReader reader(body);
      for (v1::FileEntry entry; read_entry(reader, entry); entry.Clear()) {
        waiting_ += entry.ByteSizeLong() + sizeof entry;
        entries_.push_back(entry);
      }
      received_ += body.size();
      if (waiting_ > kMostEntries || received_ > kMostInAll) {
        finish(ApiError(grpc::RESOURCE_EXHAUSTED, "DIRECTORY_TOO_LARGE",
                        fmt::format("'{}' has more entries than can be listed", request_.path()))
                   .about("path", request_.path(), {})
                   .to_status());
        return;
      }
    } else if (header.type == FrameType::kDone) {
      status_ = grpc::Status::OK;
    } else if (header.type == FrameType::kFailed) {
      status_ = agent_failure(header, body, "CANNOT_LIST", "path", request_.path()).to_status();
    } else {
      finish(broken_protocol("its answer is not one to a kList"));
      return;
    }
    drained();
  }

  void drained() override {
    if (!is_idle()) {
      return;
    }
    if (!entries_.empty()) {
      waiting_ -= entries_.front().ByteSizeLong() + sizeof(v1::FileEntry);
      v1::FileEntry entry = std::move(entries_.front());
      entries_.pop_front();
      send(std::move(entry));
    } else if (status_) {
      finish(*status_);
    }
  }

  ServiceContext& context_;
  const v1::ListFilesRequest request_;
  AgentPatience patience_{context_.loop,
                          [this](grpc::Status status) { finish(std::move(status)); }};
  std::unique_ptr<AgentConversation> conversation_;
  std::deque<v1::FileEntry> entries_;
  std::size_t waiting_ = 0;
  std::uint64_t received_ = 0;  // bytes
  std::optional<grpc::Status> status_;
};

class FilesService final : public v1::Files::CallbackService {
 public:
  explicit FilesService(ServiceContext& context) : context_(context) {}

  grpc::ServerReadReactor<v1::PushRequest>* Push(Context*, v1::PushResponse* response) override {
    auto* push = new PushCall(context_, response);  // Destroys itself.
    push->enter();
    return push;
  }

  grpc::ServerWriteReactor<v1::PullResponse>* Pull(Context* call,
                                                   const v1::PullRequest* request) override {
    auto* pull = new PullCall(context_, call, *request);  // Destroys itself.
    pull->enter();
    return pull;
  }

  grpc::ServerWriteReactor<v1::FileEntry>* List(Context* call,
                                                const v1::ListFilesRequest* request) override {
    auto* list = new ListCall(context_, call, *request);  // Destroys itself.
    list->enter();
    return list;
  }

  Unary* Stat(Context*, const v1::StatRequest* request, v1::FileEntry* response) override {
    return serve_later(context_.loop, context_.closing, response, [this, request](auto done) {
      if (auto good = check_device_path("path", request->path()); !good) {
        done(std::unexpected(good.error()));
        return;
      }
      ask_agent(context_,
                {.device = request->name(),
                 .verb = "look at a file of",
                 .type = FrameType::kStat,
                 .body = BodyWriter().text(request->path()).body(),
                 .reason = "CANNOT_STAT",
                 .path = request->path()},
                [done](const ApiResult<AgentAnswer>& answer) {
                  if (!answer) {
                    done(std::unexpected(answer.error()));
                  } else if (answer->entries.empty()) {
                    done(internal(Error("the device's agent answered without the entry")));
                  } else {
                    done(answer->entries.front());
                  }
                });
    });
  }

  Unary* GetPushState(Context*, const v1::GetPushStateRequest* request,
                      v1::PushState* response) override {
    return serve_later(context_.loop, context_.closing, response, [this, request](auto done) {
      auto good = check_device_path("path", request->path());
      if (good) {
        good = check_digest("sha256", request->sha256());
      }
      if (!good) {
        done(std::unexpected(good.error()));
        return;
      }
      ask_agent(context_,
                {.device = request->name(),
                 .verb = "look at a file of",
                 .type = FrameType::kPushState,
                 .body = BodyWriter().text(request->path()).text(request->sha256()).body(),
                 .reason = "CANNOT_STAT",
                 .path = request->path()},
                [done](const ApiResult<AgentAnswer>& answer) {
                  if (!answer) {
                    done(std::unexpected(answer.error()));
                    return;
                  }
                  v1::PushState state;
                  state.set_received_bytes(answer->size);
                  done(state);
                });
    });
  }

 private:
  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_files_service(ServiceContext& context) {
  return std::make_unique<FilesService>(context);
}

}  // namespace ensemble::control
