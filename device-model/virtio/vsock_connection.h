#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "device-model/virtio/vsock_packet.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"
#include "vmm/virtqueue.h"

namespace ensemble::device {

// A stream between a port of the guest and a Unix socket of the host. Bytes for the guest wait in
// the socket until the guest has room for them. Those for the host wait here, up to kBufferBytes,
// which the guest is told; one that sends more is reset. With the device lock held.
class VsockConnection {
 public:
  static constexpr std::uint32_t kBufferBytes = 128 << 10;

  // Who asks for the connection. A guest that asks has it, and is told so; a host that asks is told
  // "OK PORT\n" once the guest has agreed, PORT being the host's.
  enum class Asker { kGuest, kHost };

  // `socket` is connected. `changed` is called from the event loop, last, when has_packet() or
  // ended() may have changed: it may destroy this. `loop` outlives this. A connection that the loop
  // cannot watch begins with a reset.
  VsockConnection(VsockPorts ports, vmm::FileDescriptor socket, Asker asker, vmm::EventLoop& loop,
                  std::function<void()> changed);

  // A packet of the guest for this connection: its header and, behind it in `chain`, its data.
  void take(const VsockHeader& header, const vmm::DescriptorChain& chain);

  // Whether there may be a packet for the guest.
  bool has_packet() const;

  // Writes the next packet into the writable buffers of `chain`, which hold more than a header; all
  // of the header but the CIDs. Returns its size; 0: there was none after all.
  std::uint32_t write_packet(vmm::DescriptorChain& chain, VsockHeader header);

  // It is over, and nothing is left to be told.
  bool ended() const { return state_ == State::kEnded; }

 private:
  enum class State { kAsking, kConnected, kEnding, kEnded };

  void on_events(std::uint32_t events);
  void watch_what_matters();
  void take_response();
  void take_data(const VsockHeader& header, const vmm::DescriptorChain& chain);
  void send_buffered();
  void finish_sending();
  bool may_read() const;
  std::uint32_t credit() const;
  std::uint32_t read_data(vmm::DescriptorChain& chain);
  void host_sends_no_more();
  std::uint16_t next_operation();
  void reset();
  void end_with(std::uint16_t operation);

  const VsockPorts ports_;
  vmm::FileDescriptor socket_;
  vmm::FdWatch watch_;  // Of socket_; destroyed before it.
  const std::function<void()> changed_;
  State state_;
  std::uint32_t pending_ = 0;         // Control packets to be sent: a bit for each operation.
  std::uint32_t shutdown_flags_ = 0;  // Of the pending kVsockShutdown.
  std::uint32_t guest_ended_ = 0;     // Flags of the guest's kVsockShutdown.
  bool host_ended_ = false;           // The socket's other end sends no more.
  bool readable_ = false;             // The socket may have something for the guest.

  std::vector<std::byte> buffered_;  // For the socket.
  std::uint32_t forwarded_ = 0;      // Bytes given to the socket, and how many the guest knows of.
  std::uint32_t told_forwarded_ = 0;
  std::uint32_t sent_ = 0;             // Bytes given to the guest,
  std::uint32_t guest_forwarded_ = 0;  // how many of them it has read, and its room for more.
  std::uint32_t guest_buffer_ = 0;
};

}  // namespace ensemble::device
