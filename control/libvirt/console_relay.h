#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "control/acceptor.h"
#include "control/console_port.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Moves bytes between a console's port and a Unix socket that QEMU connects to. Belongs to the
// event loop's thread.
class ConsoleRelay {
 public:
  struct Handlers {
    // Bytes that do not go to the port: given to this when it is not null.
    std::function<void(std::string_view bytes)> bytes;
    // QEMU has connected; `process` is its number.
    std::function<void(pid_t process)> connected;
    // QEMU has closed its end, and the port has taken everything.
    std::function<void()> closed;
  };

  // Listens at `path`. Only with `takes_input` does what is typed go to this socket. `loop` and
  // `port` outlive the relay.
  static Result<std::unique_ptr<ConsoleRelay>> create(vmm::EventLoop& loop, ConsolePort& port,
                                                      const std::string& path, bool takes_input,
                                                      Handlers handlers);

  // The port has room, or input.
  void move_output();
  void move_input();

  // Whether nothing can come any more.
  bool closed() const { return closed_; }
  // QEMU is gone: if it has never connected, this is closed.
  void give_up();

 private:
  ConsoleRelay(vmm::EventLoop& loop, ConsolePort& port, bool takes_input, Handlers handlers)
      : loop_(loop), port_(port), takes_input_(takes_input), handlers_(std::move(handlers)) {}

  void connect(vmm::FileDescriptor socket);
  void handle(std::uint32_t events);
  void read();
  void close();
  void update_events();

  vmm::EventLoop& loop_;
  ConsolePort& port_;
  const bool takes_input_;
  Handlers handlers_;
  std::unique_ptr<Acceptor> acceptor_;  // Until QEMU has connected.
  vmm::FileDescriptor socket_;
  vmm::FdWatch watch_;  // Destroyed before the socket.
  bool connected_ = false;
  bool ended_ = false;
  bool closed_ = false;
  std::string output_;  // Not yet taken by the port.
  std::string input_;   // Not yet taken by QEMU.
};

}  // namespace ensemble::control
