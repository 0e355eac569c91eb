#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "device-model/virtio/network_backend.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {

// The host's end of a tap interface that exists already: what the host has connected it to is the
// guest's network. Frames for the guest wait in the interface's own queue, which is bounded.
class TapNetwork final : public NetworkBackend {
 public:
  // The largest length of an interface's name.
  static constexpr std::size_t kLongestName = 15;

  // Opens the interface `name`. `loop` outlives the network. The Error says what to do when there
  // is no such interface, or it is not this user's.
  static Result<std::unique_ptr<TapNetwork>> create(vmm::EventLoop& loop, const std::string& name);

  // The interface's, when it was opened.
  std::uint16_t mtu() const override { return mtu_; }
  void send(std::span<const std::byte> frame) override;
  void flush() override {}
  std::size_t receive(std::span<std::byte> buffer) override;
  void set_readable_handler(std::function<void()> readable) override;

 private:
  TapNetwork(vmm::EventLoop& loop, vmm::FileDescriptor tap, std::uint16_t mtu)
      : loop_(loop), mtu_(mtu), tap_(std::move(tap)) {}

  void wait_for_frame();

  vmm::EventLoop& loop_;
  const std::uint16_t mtu_;
  vmm::FileDescriptor tap_;
  vmm::FdWatch watch_;  // While receive() had nothing; destroyed before the descriptor.
  std::function<void()> readable_;
};

}  // namespace ensemble::device
