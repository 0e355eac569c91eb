#pragma once

#include <functional>
#include <memory>

#include "control/daemon/loop_timer.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Accepts connections of a listening socket. While this process has no descriptor left it waits and
// tries again. Belongs to the event loop's thread.
class Acceptor {
 public:
  // Takes a connection, which does not block.
  using Handler = std::function<void(vmm::FileDescriptor socket)>;

  // `loop` outlives this.
  static Result<std::unique_ptr<Acceptor>> create(vmm::EventLoop& loop, vmm::FileDescriptor socket,
                                                  Handler connected);

 private:
  Acceptor(vmm::FileDescriptor socket, Handler connected)
      : socket_(std::move(socket)), connected_(std::move(connected)) {}

  void accept();

  vmm::FileDescriptor socket_;
  Handler connected_;
  vmm::FdWatch watch_;  // Destroyed before the socket.
  std::unique_ptr<LoopTimer> pause_;
};

}  // namespace ensemble::control
