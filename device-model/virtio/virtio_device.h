#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/error.h"
#include "vmm/guest_memory.h"
#include "vmm/state.h"
#include "vmm/virtqueue.h"

namespace ensemble::device {

// Feature bits that concern every device (virtio 1.2, section 6).
inline constexpr unsigned kFeatureIndirectDescriptors = 28;
inline constexpr unsigned kFeatureEventIndex = 29;
inline constexpr unsigned kFeatureVersion1 = 32;

constexpr std::uint64_t feature_mask(unsigned bit) {
  return std::uint64_t{1} << bit;
}

// What a device asks of whatever connects it to its driver.
class VirtioTransport {
 public:
  virtual ~VirtioTransport() = default;

  // Sends a used-buffer notification.
  virtual void notify_used() = 0;

  // Tells the driver that the configuration space changed.
  virtual void notify_configuration() = 0;

  // Calls queue_notified(`queue`) again later, from the event loop.
  virtual void schedule(std::uint16_t queue) = 0;

  // Stops the device until its driver resets it: DEVICE_NEEDS_RESET, with the reason in the log.
  virtual void mark_broken(const Error& reason) = 0;

  // Whether the driver runs the device: DRIVER_OK, and not broken.
  virtual bool running() const = 0;

  // Whether `bit` was negotiated.
  virtual bool has_feature(unsigned bit) const = 0;
};

// The part that all virtio devices share: identity, queues, and the loop over a queue's requests.
//
// A derived class says what it is in the constructor and implements queue_notified() and reset().
// It knows no transport by name and no KVM. All calls come with the device lock held.
class VirtioDevice {
 public:
  struct Identity {
    std::string kind;             // Generic, for the manifest: "console".
    std::uint32_t device_id = 0;  // Virtio 1.2, section 5.
    std::uint64_t features = 0;   // Of this device type; the transport adds the common ones.
    std::vector<std::uint16_t> queue_sizes;  // The most descriptors of each queue.
  };

  explicit VirtioDevice(Identity identity) : identity_(std::move(identity)) {}
  virtual ~VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;

  const Identity& identity() const { return identity_; }

  // Makes the queues. Called once, by the transport, which outlives the device's use of it.
  void connect(const vmm::GuestMemory& memory, VirtioTransport& transport);

  std::uint16_t queue_count() const { return static_cast<std::uint16_t>(queues_.size()); }
  vmm::Virtqueue& queue(std::uint16_t index) { return *queues_[index]; }
  const vmm::Virtqueue& queue(std::uint16_t index) const { return *queues_[index]; }

  // The device's configuration space (virtio 1.2, section 5). Bytes beyond it read as zero.
  virtual std::vector<std::byte> configuration() const { return {}; }

  // The driver writes `data` there. Any offset; most devices have nothing to be written.
  virtual void write_configuration(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) {}

  // The driver set DRIVER_OK, or a running device was restored.
  virtual void activated() {}

  // The driver says that `queue`, which exists and is enabled, has work. Only while running.
  virtual void queue_notified(std::uint16_t queue) = 0;

  // Back to the state at power-on. The queues were reset already, so chains may simply be dropped.
  // Returns when nothing of the device touches guest memory any more.
  virtual void reset() = 0;

  // The device's own state; registers and queues are the transport's to save. As vmm::Stateful.
  virtual void save(vmm::StateWriter&) const {}
  virtual Result<void> restore(vmm::StateReader&) { return {}; }

 protected:
  VirtioTransport& transport() { return *transport_; }
  const VirtioTransport& transport() const { return *transport_; }

  // Takes chains off `index` and calls `handle` for each, which returns true to go on, or false to
  // be left alone until the queue is notified again. At most a queue's worth of chains per call;
  // the rest is scheduled, so that one guest cannot keep the event loop to itself.
  //
  // `handle` takes a vmm::DescriptorChain by value.
  template <typename Handle>
  void process_queue(std::uint16_t index, Handle handle);

  // The next chain of a queue; none when there is none, or when the driver broke the rules, which
  // breaks the device.
  std::optional<vmm::DescriptorChain> pop(std::uint16_t index);

  // Returns a chain, and notifies the driver where it wants that.
  void complete(std::uint16_t index, vmm::DescriptorChain chain, std::uint32_t written);

  // Notifies the driver of chains pushed to a queue, where it wants that.
  void notify_used(std::uint16_t index);

 private:
  const Identity identity_;
  VirtioTransport* transport_ = nullptr;  // Set by connect(); not owned.
  std::vector<std::unique_ptr<vmm::Virtqueue>> queues_;
};

template <typename Handle>
void VirtioDevice::process_queue(std::uint16_t index, Handle handle) {
  constexpr int kMostChainsPerTurn = 64;
  vmm::Virtqueue& ring = queue(index);
  ring.suppress_notifications();
  for (int chains = 0; chains < kMostChainsPerTurn; ++chains) {
    std::optional<vmm::DescriptorChain> chain = pop(index);
    if (!chain) {
      if (ring.request_notifications() && transport_->running()) {
        continue;
      }
      notify_used(index);
      return;
    }
    if (!handle(*std::move(chain))) {
      notify_used(index);
      return;
    }
  }
  notify_used(index);
  transport_->schedule(index);
}

}  // namespace ensemble::device
