#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/message_stream.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// One end of a connection that carries messages, each preceded by its length. What the other end
// does not read waits, up to kOutputLimit; beyond it the connection is given up, so that nobody can
// hold this end up. Belongs to its event loop's thread.
class FramedSocket {
 public:
  // Most bytes of messages that wait for the other end.
  static constexpr std::size_t kOutputLimit = std::size_t{1} << 20;

  struct Handlers {
    // Bytes have come: takes one message from `reader` and obeys it, as MessageReader::take().
    // Called until it returns false or an Error; that breaks the connection. It may release or
    // destroy the socket.
    std::function<Result<bool>(FramedSocket& socket, MessageReader& reader)> take;
    // The other end has closed the connection, or it was broken as the Error says. Comes once, as
    // the last; the handler may destroy the socket.
    std::function<void(FramedSocket& socket, std::optional<Error> error)> closed;
  };

  // Takes ownership of the connected socket. `loop` outlives this.
  static Result<std::unique_ptr<FramedSocket>> create(vmm::EventLoop& loop,
                                                      vmm::FileDescriptor socket,
                                                      Handlers handlers);
  ~FramedSocket() { *alive_ = false; }

  // Queues a message, and sends what the socket takes.
  void send(const google::protobuf::MessageLite& message);

  // Sends what is queued, waiting for the other end up to `limit`.
  void flush(std::chrono::milliseconds limit);

  // Gives up the socket, for another use; an empty one when messages are under way in it. This is
  // of no use afterwards.
  vmm::FileDescriptor release();

 private:
  FramedSocket(vmm::EventLoop& loop, vmm::FileDescriptor socket, Handlers handlers)
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
  // Tells a handler's caller that this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ensemble::control
