#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "control/daemon/api_error.h"
#include "control/daemon/listeners.h"
#include "control/loop_timer.h"
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

// A unary call whose answer takes a while. It ends once: with the answer, with the client's going,
// or with the daemon's end. Destroys itself once gRPC has done with it.
template <typename Response>
class LaterCall : public grpc::ServerUnaryReactor {
 public:
  LaterCall(vmm::EventLoop& loop, Listeners<>& closing, Response* response)
      : loop_(loop), closing_(closing), response_(response) {}

  template <typename Work>
  void enter(Work work) {
    loop_.post([this, work = std::move(work)] {
      closing_id_ = closing_.add([this] { finish(std::unexpected(daemon_ends())); });
      work([this, alive = std::weak_ptr(alive_)](ApiResult<Response> result) {
        if (!alive.expired()) {
          finish(std::move(result));
        }
      });
    });
  }

  void OnCancel() override {
    loop_.post([this] {
      finish(std::unexpected(ApiError(grpc::CANCELLED, "CANCELLED", "the client has gone")));
    });
  }
  void OnDone() override {
    // Behind all that this has posted.
    loop_.post([this] {
      closing_.remove(closing_id_);
      delete this;
    });
  }

 private:
  void finish(ApiResult<Response> result) {
    if (!std::exchange(finished_, true)) {
      answer(this, response_, std::move(result));
    }
  }

  vmm::EventLoop& loop_;
  Listeners<>& closing_;
  Response* response_;
  std::uint64_t closing_id_ = 0;
  bool finished_ = false;
  // The answer may come when the call is over.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Serves a unary call with `work`, which gets a function to call once with the result.
template <typename Response, typename Work>
grpc::ServerUnaryReactor* serve_later(vmm::EventLoop& loop, Listeners<>& closing,
                                      Response* response, Work work) {
  auto* call = new LaterCall<Response>(loop, closing, response);  // Destroys itself.
  call->enter(std::move(work));
  return call;
}

// A call that sends a stream: `Reactor` is one of gRPC's. All but its constructor, and what gRPC
// calls, runs on the loop. It destroys itself once gRPC has done with it.
template <typename Reactor, typename Response>
class StreamCall : public Reactor {
 public:
  // Most bytes of responses that wait for the client.
  static constexpr std::size_t kQueueLimit = std::size_t{1} << 20;
  // Most of them that a call has wait of its own accord.
  static constexpr std::size_t kQueueRoom = std::size_t{64} << 10;
  // How long a client may take to read how its call ended.
  static constexpr std::chrono::seconds kStatusPatience{30};

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
    {
      const std::lock_guard guard(context_mutex_);
      context_ = nullptr;
    }
    // Behind all that this has posted.
    loop_.post([this] {
      release();
      delete this;
    });
  }

 protected:
  StreamCall(vmm::EventLoop& loop, Listeners<>& closing, grpc::CallbackServerContext* context)
      : loop_(loop), closing_(closing), context_(context) {}

  // The call has come.
  virtual void begin() = 0;
  // Everything that was sent is on its way: there is room for more.
  virtual void drained() {}
  // The call is over, however it ended: nothing of it is wanted any more.
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
      release();
      give_up_later();
    }
  }

  bool has_room() const { return queued_ < kQueueRoom && !finished_; }
  bool is_idle() const { return queue_.empty() && !current_ && !finished_; }
  bool is_finished() const { return finished_; }
  vmm::EventLoop& loop() { return loop_; }

 private:
  void release() {
    if (!std::exchange(released_, true)) {
      closing_.remove(closing_id_);
      end();
    }
  }

  // gRPC sends the status behind what is under way, which a client that does not read keeps there.
  void give_up_later() {
    auto timer = current_ ? LoopTimer::create(loop_,
                                              [this] {
                                                const std::lock_guard guard(context_mutex_);
                                                if (context_ != nullptr) {
                                                  context_->TryCancel();
                                                }
                                              })
                          : Result<std::unique_ptr<LoopTimer>>(nullptr);
    if (timer && *timer != nullptr) {
      timer_ = std::move(*timer);
      timer_->set(kStatusPatience);
    }
  }

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
  bool released_ = false;
  std::recursive_mutex context_mutex_;    // gRPC may call OnDone from within TryCancel.
  grpc::CallbackServerContext* context_;  // Null once gRPC has done with it.
  std::unique_ptr<LoopTimer> timer_;
};

}  // namespace ensemble::control
