#pragma once

#include "device-model/virtio/virtio_device.h"

namespace ensemble::device {

// A virtio entropy device (virtio 1.2, section 5.4): fills buffers from the host's random source.
// It gives at most kMostBytesPerRequest at a time, which the specification allows and drivers
// repeat, so that no guest can make the host generate gigabytes in one go. Has no state of its own.
class EntropyDevice final : public VirtioDevice {
 public:
  static constexpr std::uint32_t kMostBytesPerRequest = 4096;

  EntropyDevice();

  void queue_notified(std::uint16_t queue) override;
  void reset() override {}
};

}  // namespace ensemble::device
