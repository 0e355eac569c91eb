#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "device-model/virtio/port_backend.h"
#include "device-model/virtio/virtio_device.h"

namespace ensemble::device {

// A virtio console that has one named port and no console (virtio 1.2, section 5.3, with
// VIRTIO_CONSOLE_F_MULTIPORT): port 1, a stream of bytes between a guest's program and the host.
// Bytes go between guest memory and the backend without a copy here, and wait where they are when
// the other side does not take them.
//
// A connection that has carried bytes is over for the guest only once its program has closed the
// port: until then no other one is announced, so that no program takes the bytes of two for one.
// A program that closes the port ends the connection.
class PortDevice final : public VirtioDevice {
 public:
  static constexpr std::uint16_t kControlReceiveQueue = 2;
  static constexpr std::uint16_t kControlTransmitQueue = 3;
  static constexpr std::uint16_t kReceiveQueue = 4;
  static constexpr std::uint16_t kTransmitQueue = 5;
  static constexpr std::uint32_t kPort = 1;

  // What the control queues carry.
  enum class Event : std::uint16_t {
    kDeviceReady = 0,
    kPortAdd = 1,
    kPortReady = 3,
    kPortOpen = 6,
    kPortName = 7,
  };
  struct ControlMessage {
    std::uint32_t port;
    std::uint16_t event;
    std::uint16_t value;
  };
  static_assert(sizeof(ControlMessage) == 8);

  // `name`: what the guest's program finds the port by. `backend` outlives the device.
  PortDevice(std::string name, PortBackend& backend);
  ~PortDevice() override;

  std::vector<std::byte> configuration() const override;
  void activated() override;
  void queue_notified(std::uint16_t queue) override;
  void reset() override;
  void save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader) override;

 private:
  void receive();
  void transmit();
  bool fill_chain(vmm::DescriptorChain chain);
  bool transmit_chain(vmm::DescriptorChain chain);
  void take_control();
  void obey(const ControlMessage& message);
  void guest_opened(bool open);
  void send_control();
  std::optional<Event> next_message() const;
  void message_sent(Event event);
  void connection_changed();
  void connection_ended();

  const std::string name_;
  PortBackend& backend_;
  // What the guest is still to be told, beside whether the host is connected.
  bool add_pending_ = false;
  bool name_pending_ = false;
  bool port_ready_ = false;   // The driver has the port.
  bool guest_open_ = false;   // A program has it open.
  bool announced_ = false;    // The guest has been told that the host is connected.
  bool carried_ = false;      // Bytes have passed since the host connected.
  bool must_reopen_ = false;  // The guest is to close the port before it hears of a connection.
  // The chain that the backend has not taken whole, and how much of it it has taken.
  std::optional<vmm::DescriptorChain> waiting_;
  std::uint32_t waiting_offset_ = 0;
};

}  // namespace ensemble::device
