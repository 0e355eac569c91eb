#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/message_stream.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// One controller's connection to a device's process: requests come in, replies and events go out.
// What a controller does not read waits, up to kOutputLimit; beyond it the connection is given up,
// so that no controller can hold the device up. Belongs to its event loop's thread.
class ControlLink {
 public:
  // Most bytes of messages that wait for the controller.
  static constexpr std::size_t kOutputLimit = std::size_t{1} << 20;

  struct Handlers {
    // A request has come. The handler may release or destroy the link.
    std::function<void(ControlLink& link, const ensemble::vmm::v1::Request& request)> request;
    // The controller has closed the connection, or broken the protocol as the Error says. Comes
    // once, as the last; the handler may destroy the link.
    std::function<void(ControlLink& link, std::optional<Error> error)> closed;
  };

  // Takes ownership of the connected socket. `loop` outlives the link.
  static Result<std::unique_ptr<ControlLink>> create(vmm::EventLoop& loop,
                                                     vmm::FileDescriptor socket, Handlers handlers);
  ~ControlLink() { *alive_ = false; }

  // Queues a message, and sends what the socket takes.
  void send(const ensemble::vmm::v1::FromVmm& message);

  // Sends what is queued, waiting for the controller up to `limit`.
  void flush(std::chrono::milliseconds limit);

  // Gives up the socket, for another use; an empty one when requests or messages are under way in
  // it. The link is of no use afterwards.
  vmm::FileDescriptor release();

 private:
  ControlLink(vmm::EventLoop& loop, vmm::FileDescriptor socket, Handlers handlers)
      : loop_(loop), socket_(std::move(socket)), handlers_(std::move(handlers)) {}

  void handle(std::uint32_t events);
  void read();
  void write();
  void close(std::optional<Error> error);

  vmm::EventLoop& loop_;
  vmm::FileDescriptor socket_;
  Handlers handlers_;
  vmm::FdWatch watch_;  // Destroyed before the socket.
  MessageReader reader_;
  std::string output_;
  // Tells a handler's caller that the link is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ensemble::control
