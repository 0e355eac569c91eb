#include "device-model/virtio/entropy_device.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

namespace ensemble::device {
namespace {

constexpr std::uint32_t kEntropyDeviceId = 4;
constexpr std::uint16_t kQueueSize = 64;

}  // namespace

EntropyDevice::EntropyDevice()
    : VirtioDevice({.kind = "entropy",
                    .device_id = kEntropyDeviceId,
                    .features = 0,
                    .queue_sizes = {kQueueSize}}) {}

void EntropyDevice::queue_notified(std::uint16_t queue) {
  process_queue(queue, [this, queue](vmm::DescriptorChain chain) {
    std::array<std::byte, kMostBytesPerRequest> random;
    const std::size_t wanted = std::min<std::size_t>(chain.writable_size(), random.size());
    std::size_t done = 0;
    // Never blocks once the host has booted; a signal may cut it short.
    while (done < wanted) {
      const ssize_t got = ::getrandom(random.data() + done, wanted - done, 0);
      if (got > 0) {
        done += static_cast<std::size_t>(got);
      }
    }
    chain.write(0, std::span(random).first(done));
    this->queue(queue).push(std::move(chain), static_cast<std::uint32_t>(done));
    return true;
  });
}

}  // namespace ensemble::device
