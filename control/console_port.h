#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "control/console_log.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// The host's end of a device's console: a stream socket whose other end is a terminal, a log, or a
// test. Output waits in a bounded buffer, input in the socket. All calls come with the device lock
// held; none blocks.
class ConsolePort {
 public:
  // Most bytes of output that wait for the socket.
  static constexpr std::size_t kOutputLimit = 65536;

  // Takes ownership of `socket`. `loop` outlives the port.
  static Result<std::unique_ptr<ConsolePort>> create(vmm::EventLoop& loop,
                                                     vmm::FileDescriptor socket);

  // A port that keeps all output in `log` and has no other end until one is attached. It never
  // makes the guest wait: what its other end does not read in time is in the log only.
  static std::unique_ptr<ConsolePort> create_logged(vmm::EventLoop& loop, ConsoleLog log);

  // Gives the port another end, in place of the one that it has. Takes ownership of `socket`.
  Result<void> attach(vmm::FileDescriptor socket);

  // Queues output for the event loop to send. Returns how many bytes were taken: fewer than given
  // when kOutputLimit is reached, and then the writable handler is called once there is room.
  // Output to a socket whose other end is closed is taken and lost.
  std::size_t write(std::span<const std::byte> data);

  // Takes input; returns how many bytes. After taking none it calls the readable handler once there
  // are some.
  std::size_t read(std::span<std::byte> data);

  // Called on the event loop; may be null.
  void set_handlers(std::function<void()> writable, std::function<void()> readable);

  // Calls `done` on the event loop once everything written so far was sent, or the other end is
  // closed.
  void when_drained(std::function<void()> done);

 private:
  explicit ConsolePort(vmm::EventLoop& loop) : loop_(loop) {}

  void handle(std::uint32_t events);
  void send_output();
  void lose_peer();
  void update_events();
  void report_drained();

  vmm::EventLoop& loop_;
  vmm::FileDescriptor socket_;
  vmm::FdWatch watch_;
  std::optional<ConsoleLog> log_;
  std::string output_;
  bool peer_open_ = false;
  bool reader_waits_ = false;
  bool writer_waits_ = false;
  std::function<void()> on_writable_;
  std::function<void()> on_readable_;
  std::function<void()> on_drained_;
};

}  // namespace ensemble::control
