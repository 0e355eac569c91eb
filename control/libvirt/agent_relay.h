#pragma once

#include <memory>
#include <string>
#include <utility>

#include "control/loop_timer.h"
#include "device-model/virtio/port_backend.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Moves bytes between a port's host end and the Unix socket at which QEMU listens for it: a
// connection to the one is a connection to the other. QEMU does not say when the guest has seen the
// end of one; the next is admitted a while later, and never to a machine that is paused. Belongs to
// the event loop's thread.
class AgentRelay {
 public:
  // QEMU listens at `path` from the first `admit` on. `loop` and `port` outlive the relay.
  static Result<std::unique_ptr<AgentRelay>> create(vmm::EventLoop& loop, device::PortBackend& port,
                                                    std::string path);
  ~AgentRelay();

  // The machine runs, and so can serve a connection in a while.
  void admit();
  // It does not.
  void hold();

 private:
  AgentRelay(vmm::EventLoop& loop, device::PortBackend& port, std::string path)
      : loop_(loop), port_(port), path_(std::move(path)) {}

  void connect();
  void disconnect();
  void admit_later();
  void handle(std::uint32_t events);
  void move_input();
  void move_output();
  void update_events();

  vmm::EventLoop& loop_;
  device::PortBackend& port_;
  const std::string path_;
  std::unique_ptr<LoopTimer> timer_;
  vmm::FileDescriptor socket_;  // To QEMU, while the port's other end is connected.
  vmm::FdWatch watch_;          // Destroyed before the socket.
  bool runs_ = false;
  std::string input_;   // Not yet taken by QEMU.
  std::string output_;  // Not yet taken by the port.
};

}  // namespace ensemble::control
