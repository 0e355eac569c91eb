#pragma once

#include <slirp/libslirp.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "device-model/network/slirp_library.h"
#include "device-model/virtio/network_backend.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"
#include "vmm/timer.h"

namespace ensemble::device {

// A private IPv4 network for one guest, which libslirp connects to the host's by sockets of this
// process: it needs no rights, and nobody outside can connect to the guest.
//
//   10.0.2.15  what DHCP gives the guest
//   10.0.2.2   the gateway; connections to it reach the host's own services (127.0.0.1)
//   10.0.2.3   a name server, which asks those of the host
//
// libslirp runs on the event loop, with the device lock held, and never blocks. While the guest has
// no connection no timer runs. Frames that the guest does not take in time wait here, up to a
// bound: beyond half of it sockets are left alone, and beyond all of it frames are lost. Packets
// that the guest sends in parts are lost: its MTU is what it may send.
class UserNetwork final : public NetworkBackend {
 public:
  static constexpr std::size_t kMostQueuedBytes = 2 << 20;
  // A guest with this many connections opens no more until some have ended: the descriptors are the
  // process's. What it sends at once may go beyond it.
  static constexpr std::size_t kMostSockets = 512;

  // `loop` outlives the network. An Error when libslirp cannot be had, or a descriptor.
  static Result<std::unique_ptr<UserNetwork>> create(vmm::EventLoop& loop);
  ~UserNetwork() override;

  std::uint16_t mtu() const override { return kMtu; }
  void send(std::span<const std::byte> frame) override;
  void flush() override;
  std::size_t receive(std::span<std::byte> buffer) override;
  void set_readable_handler(std::function<void()> readable) override;

 private:
  static constexpr std::uint16_t kMtu = 1500;

  struct Polled {
    int fd;
    int ready;  // Of SLIRP_POLL_*.
  };

  explicit UserNetwork(const SlirpLibrary& slirp) : slirp_(slirp) {}

  static const SlirpCb& callbacks();
  Result<void> start(vmm::EventLoop& loop);
  void run();
  void collect_ready();
  void plan();
  int poll_later(int fd, int events);
  void forget_closed();
  void queue_frame(std::span<const std::byte> frame);

  const SlirpLibrary& slirp_;
  Slirp* network_ = nullptr;
  std::unique_ptr<vmm::Timer> timer_;
  vmm::FileDescriptor sockets_;  // An epoll instance with those that libslirp waits for.
  vmm::FdWatch watch_;           // Of sockets_; destroyed before it.
  std::vector<Polled> polled_;   // As of the latest plan().
  std::unordered_map<int, std::uint64_t> plans_of_;  // What is in sockets_, and when last planned.
  std::uint64_t plan_ = 0;
  std::unordered_set<int> open_;  // Sockets of libslirp's, whether it waits for them or not.
  bool held_back_ = false;        // Too many frames wait: sockets are left alone.

  std::deque<std::vector<std::byte>> frames_;  // For the guest.
  std::size_t queued_bytes_ = 0;
  std::function<void()> readable_;
  bool guest_waits_ = true;  // receive() had none since readable_ was called last.
};

}  // namespace ensemble::device
