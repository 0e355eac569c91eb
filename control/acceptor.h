#pragma once

#include <functional>
#include <memory>

#include "control/loop_timer.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Accepts connections of a listening socket. While this process has no descriptor left it waits and
// tries again. All calls come with the device lock of the event loop held.
class Acceptor {
 public:
  // Takes a connection, which does not block. May destroy the Acceptor.
  using Handler = std::function<void(vmm::FileDescriptor socket)>;

  // Accepts from now on. `loop` outlives this.
  static Result<std::unique_ptr<Acceptor>> create(vmm::EventLoop& loop, vmm::FileDescriptor socket,
                                                  Handler connected);

  // Whether connections are accepted, or wait in the socket's queue.
  void set_accepting(bool accepting);
  // Accepts one now, if one waits.
  void accept();

 private:
  Acceptor(vmm::FileDescriptor socket, Handler connected)
      : socket_(std::move(socket)), connected_(std::move(connected)) {}

  void update_events();

  vmm::FileDescriptor socket_;
  Handler connected_;
  vmm::FdWatch watch_;  // Destroyed before the socket.
  std::unique_ptr<LoopTimer> pause_;
  bool accepting_ = true;
  bool pausing_ = false;
  bool warned_ = false;  // Since the last connection.
};

}  // namespace ensemble::control
