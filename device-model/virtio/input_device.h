#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "device-model/virtio/input_description.h"
#include "device-model/virtio/input_state.h"
#include "device-model/virtio/virtio_device.h"

namespace ensemble::device {

// A virtio input device (virtio 1.2, section 5.8). Events wait, in whole reports, until the driver
// has given buffers for them. Where too many would wait, all are dropped; the driver is sent
// SYN_DROPPED and the whole state once it has buffers again.
class InputDevice final : public VirtioDevice {
 public:
  static constexpr std::uint16_t kEventQueue = 0;
  static constexpr std::uint16_t kStatusQueue = 1;
  static constexpr std::size_t kMostWaitingEvents = 512;
  static constexpr std::size_t kMostEventsPerReport = 256;

  // The Error says what is wrong with the description.
  static Result<std::unique_ptr<InputDevice>> create(InputDescription description);

  const InputDescription& description() const { return description_; }
  // How it is now, whether or not the driver knows.
  const InputState& state() const { return state_; }

  // Events that happen at once; SYN_REPORT is added. While no driver runs the device only the state
  // changes, which a driver is told when it starts. With the device lock held. An Error, which
  // changes nothing, when there are too many, or one is not of this device or out of range.
  Result<void> report(std::span<const InputEvent> events);

  std::vector<std::byte> configuration() const override;
  void write_configuration(std::uint64_t offset, std::span<const std::byte> data) override;
  void activated() override;
  void queue_notified(std::uint16_t queue) override;
  void reset() override;
  void save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader) override;

 private:
  explicit InputDevice(InputDescription description);

  void deliver();
  void take_status();
  void drop_waiting();
  void append_state();
  bool send_next(vmm::DescriptorChain chain);

  const InputDescription description_;
  InputState state_;
  std::deque<InputEvent> waiting_;
  // The front of waiting_ belongs to a report that the driver has a part of.
  bool within_report_ = false;
  bool lost_events_ = false;  // The driver is to be told the state.
  bool known_ = false;        // The driver, as it runs now, was told the state once.
  std::uint8_t select_ = 0;   // Of the configuration space.
  std::uint8_t subselect_ = 0;
};

}  // namespace ensemble::device
