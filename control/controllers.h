#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "control/acceptor.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/framed_socket.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Who controls a device's process: the one that started it, or any number of connections that come
// and go. Belongs to its event loop's thread.
class Controllers {
 public:
  // Most connections at a time; further ones are closed at once.
  static constexpr std::size_t kMostLinks = 16;

  struct Handlers {
    // Answers a request on its link.
    std::function<void(FramedSocket& link, const ensemble::vmm::v1::Request& request)> request;
    // The only controller has gone, or broken the protocol as the Error says.
    std::function<void(std::optional<Error> error)> alone;
  };

  // With one controller on the connected `socket`.
  static Result<std::unique_ptr<Controllers>> with_one(vmm::EventLoop& loop,
                                                       vmm::FileDescriptor socket,
                                                       Handlers handlers);

  // With those that connect to the listening `socket` as this process's user, or as root.
  static Result<std::unique_ptr<Controllers>> listening(vmm::EventLoop& loop,
                                                        vmm::FileDescriptor socket,
                                                        Handlers handlers);

  // Sends a message to all.
  void tell(const ensemble::vmm::v1::FromVmm& message);

  // Sends what waits for them, for at most `limit` each.
  void flush(std::chrono::milliseconds limit);

 private:
  Controllers(vmm::EventLoop& loop, Handlers handlers)
      : loop_(loop), handlers_(std::move(handlers)) {}

  Result<void> add(vmm::FileDescriptor socket);
  void accept(vmm::FileDescriptor socket);
  void link_closed(FramedSocket& link, const std::optional<Error>& error);

  vmm::EventLoop& loop_;
  Handlers handlers_;
  std::unique_ptr<Acceptor> acceptor_;  // None with a single controller.
  std::vector<std::unique_ptr<FramedSocket>> links_;
};

}  // namespace ensemble::control
