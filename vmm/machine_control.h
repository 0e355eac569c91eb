#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "vmm/bus.h"
#include "vmm/state.h"

namespace ensemble::vmm {

// The machine control device of docs/machine.md: power-off, reset, a power button, milestones of
// the guest's start, and the system calls that it missed. 32-bit registers, and 8-bit ones for
// ACPI; accesses of other widths are ignored, and reads are zero but for the button's.
class MachineControl final : public BusDevice, public Stateful {
 public:
  static constexpr uint64_t kSize = 0x1000;

  enum class Milestone { kKernelEntry, kFirstUserInstruction, kCommandStarted, kCommandEnded };
  static constexpr size_t kMilestoneCount = 4;
  // Most system calls that are remembered; what a guest tells beyond that is lost.
  static constexpr size_t kMissedCallLimit = 128;

  struct Handlers {
    std::function<void(uint8_t exit_code)> power_off;
    std::function<void()> reset;
    // The interrupt of the power button; empty: there is no button.
    std::function<void()> button_pressed = {};
  };

  // The handlers are called from a register access: they must not block.
  explicit MachineControl(Handlers handlers) : handlers_(std::move(handlers)) {}

  // Guest TSC at a milestone, if the guest has reported it. Call with the device lock held, or once
  // the machine has stopped.
  std::optional<uint64_t> milestone(Milestone which) const;

  // Numbers of the system calls that programs made and the guest does not have, and how often.
  // As for milestone().
  const std::map<uint32_t, uint32_t>& missed_calls() const { return missed_calls_; }

  // Presses the power button. The press stays in its register until the guest has answered it.
  // With the device lock held. An Error when there is none.
  Result<void> press_power_button();

  std::string_view name() const override { return "machine-control"; }
  void read(uint64_t offset, std::span<std::byte> data) override;
  void write(uint64_t offset, std::span<const std::byte> data) override;

  std::string state_tag() const override { return "machine-control"; }
  uint32_t state_version() const override { return 3; }
  Result<void> save(StateWriter& writer) const override;
  Result<void> restore(StateReader& reader, uint32_t version) override;

 private:
  void finish(uint32_t value);
  void write_acpi(uint64_t offset, uint8_t value);
  void count_missed_call(uint32_t count);

  struct Latch {
    uint32_t low = 0;
    std::optional<uint64_t> value;
  };

  Handlers handlers_;
  std::array<Latch, kMilestoneCount> milestones_;
  uint32_t missed_call_ = 0;  // the number that the next count is for
  std::map<uint32_t, uint32_t> missed_calls_;
  bool pressed_ = false;  // The power button, and the guest has not answered.
};

}  // namespace ensemble::vmm
