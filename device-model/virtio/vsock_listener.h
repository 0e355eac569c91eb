#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"
#include "vmm/timer.h"

namespace ensemble::device {

// The host's side of a guest's sockets, in the file system: who connects to the Unix socket at
// PATH and sends "CONNECT PORT\n" is connected to that port of the guest. What listens at PATH_PORT
// is what the guest finds at that port of the host. Only the user whose process this is may
// connect. With the device lock held; nothing blocks.
class VsockListener {
 public:
  // A client has asked for a port of the guest.
  using Asked = std::function<void(vmm::FileDescriptor socket, std::uint32_t port)>;

  // So that a port's number still fits behind it into a socket's address.
  static constexpr std::size_t kLongestPath = 96;
  // Clients that have not said what they want; another one is turned away.
  static constexpr std::size_t kMostClients = 16;

  // Listens at `path`, in place of a socket there that nobody listens at any more. `loop` outlives
  // this. An Error when the path is too long or taken.
  static Result<std::unique_ptr<VsockListener>> create(vmm::EventLoop& loop, std::string path,
                                                       Asked asked);
  // Removes the socket.
  ~VsockListener();

  // A socket connected to what listens at PATH_`port`; none where nobody takes it at once.
  vmm::FileDescriptor connect(std::uint32_t port) const;

 private:
  // One that has not said what it wants.
  struct Client {
    vmm::FileDescriptor socket;
    vmm::FdWatch watch;
    std::string line;
  };

  VsockListener(vmm::EventLoop& loop, std::string path, vmm::FileDescriptor socket, Asked asked);
  void accept();
  void read_line(std::list<Client>::iterator client);

  vmm::EventLoop& loop_;
  const std::string path_;
  vmm::FileDescriptor socket_;
  vmm::FdWatch watch_;
  std::unique_ptr<vmm::Timer> pause_;  // While this process has no descriptor left.
  const Asked asked_;
  std::list<Client> clients_;
};

}  // namespace ensemble::device
