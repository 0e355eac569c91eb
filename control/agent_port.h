#pragma once

#include <memory>
#include <string>

#include "control/acceptor.h"
#include "device-model/virtio/port_backend.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// The host's end of a device's agent port: a listening Unix stream socket that serves one
// connection at a time; others wait in its queue. Only processes of this one's user, and of root,
// are served. All calls come with the device lock held.
class AgentPort final : public device::PortBackend {
 public:
  // What the guest's program finds the port by: /dev/virtio-ports/NAME.
  static constexpr char kPortName[] = "org.ensemble.agent";

  // Takes ownership of the listening `socket`. `loop` outlives the port.
  static Result<std::unique_ptr<AgentPort>> create(vmm::EventLoop& loop,
                                                   vmm::FileDescriptor socket);

  void set_handlers(Handlers handlers) override { handlers_ = std::move(handlers); }
  void admit() override;
  bool connected() const override { return static_cast<bool>(socket_); }
  void disconnect() override;
  std::size_t write(std::span<const std::byte> data) override;
  std::size_t read(std::span<std::byte> data) override;

 private:
  explicit AgentPort(vmm::EventLoop& loop) : loop_(loop) {}

  void accept(vmm::FileDescriptor socket);
  void handle(std::uint32_t events);
  bool peer_has_gone() const;
  void update_events();

  vmm::EventLoop& loop_;
  Handlers handlers_;
  std::unique_ptr<Acceptor> acceptor_;
  vmm::FileDescriptor socket_;
  vmm::FdWatch watch_;
  bool reader_waits_ = false;
  bool writer_waits_ = false;
};

}  // namespace ensemble::control
