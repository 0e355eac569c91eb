#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace ensemble::device {

// The network that a network device is plugged into: carries Ethernet frames, without preamble and
// check sequence. As on a wire, a frame that cannot be taken is lost. All calls come with the
// device lock held, and none blocks.
class NetworkBackend {
 public:
  // Of a frame: without and with a VLAN tag.
  static constexpr std::size_t kSmallestHeader = 14;
  static constexpr std::size_t kLargestHeader = 18;

  virtual ~NetworkBackend() = default;

  // The largest payload of a frame in bytes, 68 to 65535. Never changes.
  virtual std::uint16_t mtu() const = 0;

  // Takes a frame from the guest, of kSmallestHeader to kLargestHeader + mtu() bytes.
  virtual void send(std::span<const std::byte> frame) = 0;

  // The guest has no further frame for now: what was sent may be handled together.
  virtual void flush() = 0;

  // The next frame for the guest, copied to `buffer`, which holds the largest one; returns its
  // size. After returning 0 it calls the readable handler once there is a frame.
  virtual std::size_t receive(std::span<std::byte> buffer) = 0;

  // Set by the network device, which sets an empty one before it goes. Called from the event loop
  // and by flush(), never by receive() or send().
  virtual void set_readable_handler(std::function<void()> readable) = 0;
};

}  // namespace ensemble::device
