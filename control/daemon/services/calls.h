#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <optional>
#include <type_traits>
#include <utility>

#include "control/daemon/api_error.h"
#include "control/daemon/listeners.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

inline ApiError daemon_ends() {
  return ApiError(grpc::UNAVAILABLE, "DAEMON_ENDS", "the daemon is ending; devices go on");
}

// Ends a unary call with `result`.
template <typename Response>
void answer(grpc::ServerUnaryReactor* reactor, Response* response, ApiResult<Response> result) {
  if (result) {
    *response = std::move(*result);
    reactor->Finish(grpc::Status::OK);
  } else {
    reactor->Finish(result.error().to_status());
  }
}

// Serves a unary call with what `work` returns (ApiResult<Response>) on the loop.
template <typename Response, typename Work>
grpc::ServerUnaryReactor* serve(vmm::EventLoop& loop, grpc::CallbackServerContext* context,
                                Response* response, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  loop.post([reactor, response, work = std::move(work)] { answer(reactor, response, work()); });
  return reactor;
}

// Serves a unary call with `work`, which gets a function to call once with the result.
template <typename Response, typename Work>
grpc::ServerUnaryReactor* serve_later(vmm::EventLoop& loop, grpc::CallbackServerContext* context,
                                      Response* response, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  loop.post([reactor, response, work = std::move(work)] {
    work([reactor, response](ApiResult<Response> result) {
      answer(reactor, response, std::move(result));
    });
  });
  return reactor;
}

// A call that sends a stream: `Reactor` is one of gRPC's. All but its constructor, and what gRPC
// calls, runs on the loop. It destroys itself once gRPC has done with it.
template <typename Reactor, typename Response>
class StreamCall : public Reactor {
 public:
  // Most bytes of responses that wait for the client.
  static constexpr std::size_t kQueueLimit = std::size_t{1} << 20;

  // Not from a reactor's constructor: begin() is virtual.
  void enter() {
    loop_.post([this] {
      closing_id_ = closing_.add([this] { finish(daemon_ends().to_status()); });
      if (!finished_) {
        begin();
      }
    });
  }

  void OnCancel() override {
    loop_.post([this] { finish(grpc::Status::CANCELLED); });
  }
  void OnWriteDone(bool ok) override {
    loop_.post([this, ok] { written(ok); });
  }
  void OnDone() override {
    // Behind all that this has posted.
    loop_.post([this] {
      closing_.remove(closing_id_);
      end();
      delete this;
    });
  }

 protected:
  StreamCall(vmm::EventLoop& loop, Listeners<>& closing) : loop_(loop), closing_(closing) {}

  // The call has come.
  virtual void begin() = 0;
  // Everything that was sent is on its way: there is room for more.
  virtual void drained() {}
  // The call is over, however it ended; nothing may call this object any more.
  virtual void end() {}

  // Queues a response. A client that does not read ends with RESOURCE_EXHAUSTED.
  void send(Response response) {
    if (finished_) {
      return;
    }
    const std::size_t size = response.ByteSizeLong() + 64;
    if (queued_ + size > kQueueLimit && !queue_.empty()) {
      finish(ApiError(grpc::RESOURCE_EXHAUSTED, "READER_TOO_SLOW",
                      "the client does not read what it is sent: more than 1 MiB waits for it")
                 .to_status());
      return;
    }
    queued_ += size;
    queue_.push_back(std::move(response));
    write();
  }

  // Ends the call once what is queued has been sent.
  void finish_behind(grpc::Status status) {
    if (queue_.empty() && !current_) {
      finish(std::move(status));
    } else {
      last_ = std::move(status);
    }
  }

  void finish(grpc::Status status) {
    if (!std::exchange(finished_, true)) {
      queue_.clear();
      this->Finish(std::move(status));
    }
  }

  bool is_idle() const { return queue_.empty() && !current_ && !finished_; }
  bool is_finished() const { return finished_; }
  vmm::EventLoop& loop() { return loop_; }

 private:
  void write() {
    if (current_ || queue_.empty() || finished_) {
      return;
    }
    current_ = std::move(queue_.front());
    queue_.pop_front();
    this->StartWrite(&*current_);
  }

  void written(bool ok) {
    queued_ -= std::min(queued_, current_->ByteSizeLong() + 64);
    current_.reset();
    if (!ok) {
      finish(grpc::Status::CANCELLED);
      return;
    }
    write();
    if (is_idle()) {
      if (last_) {
        finish(*last_);
      } else {
        drained();
      }
    }
  }

  vmm::EventLoop& loop_;
  Listeners<>& closing_;
  std::uint64_t closing_id_ = 0;
  std::deque<Response> queue_;
  std::optional<Response> current_;  // Belongs to gRPC until it is written.
  std::size_t queued_ = 0;
  std::optional<grpc::Status> last_;
  bool finished_ = false;
};

}  // namespace ensemble::control
