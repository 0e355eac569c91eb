#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/framed_socket.h"
#include "control/loop_timer.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// The daemon's end of a connection to one device's process (ensemble.vmm.v1). Belongs to the event
// loop's thread; all handlers run there.
class ProcessLink {
 public:
  // How long a process may take to answer.
  static constexpr std::chrono::milliseconds kPatience{10'000};

  struct Handlers {
    std::function<void(const ensemble::vmm::v1::Event& event)> event;
    // The process has closed the connection, or broken the protocol as the Error says. All
    // outstanding requests have been answered with an Error before. May destroy the link.
    std::function<void(std::optional<Error> error)> closed;
  };
  // Gets the reply, or an Error: the process refused, in its words; it did not answer in time
  // (ETIMEDOUT); or it is gone (ECONNRESET).
  using ReplyHandler = std::function<void(Result<ensemble::vmm::v1::Reply> reply)>;

  // Takes ownership of the connected socket. `loop` outlives the link.
  static Result<std::unique_ptr<ProcessLink>> create(vmm::EventLoop& loop,
                                                     vmm::FileDescriptor socket, Handlers handlers);

  // Sends a request, whose id is set here. The handler is called once, unless the link is destroyed
  // before.
  void ask(ensemble::vmm::v1::Request request, ReplyHandler handler,
           std::chrono::milliseconds patience = kPatience);

  // Answers all that waits: the process is gone. Before the link is destroyed.
  void give_up();

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    ReplyHandler handler;
    Clock::time_point deadline;
  };

  explicit ProcessLink(Handlers handlers) : handlers_(std::move(handlers)) {}

  Result<bool> take(MessageReader& reader);
  void answer(const ensemble::vmm::v1::Reply& reply);
  void closed(const std::optional<Error>& error);
  void set_timer();
  void answer_overdue();

  Handlers handlers_;
  std::unique_ptr<FramedSocket> socket_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Waiting> waiting_;
  std::unique_ptr<LoopTimer> timer_;
};

}  // namespace ensemble::control
