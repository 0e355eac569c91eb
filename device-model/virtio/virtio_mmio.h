#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device-model/virtio/virtio_device.h"
#include "vmm/bus.h"
#include "vmm/doorbell.h"
#include "vmm/event_loop.h"
#include "vmm/guest_memory.h"
#include "vmm/interrupt_line.h"
#include "vmm/state.h"

namespace ensemble::device {

// Connects a virtio device to a guest by memory-mapped registers: virtio 1.2, section 4.2, register
// layout version 2 (no legacy interface).
//
// Interrupts are edges, one for each notification, whether or not the driver acknowledged the one
// before. Owns the device. Registers and doorbells call it with the device lock held.
class VirtioMmio final : public vmm::BusDevice, public vmm::Stateful, private VirtioTransport {
 public:
  // `name` is unique in the machine: "virtio-block0". `memory` and `loop` outlive this.
  VirtioMmio(std::string name, std::unique_ptr<VirtioDevice> device, const vmm::GuestMemory& memory,
             vmm::EventLoop& loop, std::unique_ptr<vmm::InterruptLine> interrupt);
  ~VirtioMmio() override;

  // Has the driver's notifications, for registers at `address`, handled by doorbells. Without this
  // they are exits to the VMM.
  Result<void> add_doorbells(vmm::DoorbellRegistry& registry, std::uint64_t address);

  VirtioDevice& device() { return *device_; }

  // Why the device waits for a reset by its driver, if it does.
  const std::optional<Error>& broken() const { return broken_; }

  // When its driver was first ready (DRIVER_OK), for figures: no part of its state.
  const std::optional<std::chrono::steady_clock::time_point>& driver_time() const {
    return driver_time_;
  }

  std::string_view name() const override { return name_; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  std::string state_tag() const override { return name_; }
  std::uint32_t state_version() const override { return 1; }
  Result<void> save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader, std::uint32_t version) override;

 private:
  // What the driver has set for a queue that is not yet enabled, and reads back from none.
  struct QueueSetup {
    std::uint16_t size = 0;
    vmm::VirtqueueAddresses addresses;
  };

  // Registers that a reset clears.
  struct Registers {
    std::uint32_t status = 0;
    std::uint32_t interrupt_status = 0;
    std::uint32_t device_features_select = 0;
    std::uint32_t driver_features_select = 0;
    std::uint64_t driver_features = 0;
    std::uint32_t queue_select = 0;
    std::vector<QueueSetup> queues;
  };

  void notify_used() override;
  void notify_configuration() override;
  void schedule(std::uint16_t queue) override;
  void mark_broken(const Error& reason) override;
  bool running() const override;
  bool has_feature(unsigned bit) const override;

  std::uint64_t offered_features() const;
  std::uint32_t read_register(std::uint64_t offset);
  void write_register(std::uint64_t offset, std::uint32_t value);
  void write_queue_register(std::uint64_t offset, std::uint32_t value);
  void write_driver_features(std::uint32_t value);
  void write_status(std::uint32_t value);
  void enable_queue(std::uint32_t value);
  void read_configuration(std::uint64_t offset, std::span<std::byte> data) const;
  void process(std::uint32_t queue);
  void interrupt(std::uint32_t cause);
  void reset();
  Result<void> check(const Registers& registers, bool broken) const;
  Result<void> restore_all(vmm::StateReader& reader);

  const std::string name_;
  const std::unique_ptr<VirtioDevice> device_;
  vmm::EventLoop& loop_;
  const std::unique_ptr<vmm::InterruptLine> interrupt_;
  Registers registers_;
  std::uint32_t configuration_generation_ = 0;
  std::optional<std::chrono::steady_clock::time_point> driver_time_;
  std::optional<Error> broken_;
  unsigned breakages_ = 0;  // Logged ones, since a guest may break and reset for ever.
  // Held weakly by what was posted to the event loop, to find out that this is gone.
  const std::shared_ptr<VirtioMmio*> self_ = std::make_shared<VirtioMmio*>(this);
  std::vector<std::unique_ptr<vmm::Doorbell>> doorbells_;
};

}  // namespace ensemble::device
