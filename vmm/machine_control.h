#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "vmm/bus.h"
#include "vmm/state.h"

namespace ensemble::vmm {

// The machine control device of docs/machine.md: power-off, reset, and milestones of the guest's
// start. 32-bit registers; accesses of other widths are ignored, and reads are zero.
class MachineControl final : public BusDevice, public Stateful {
 public:
  static constexpr uint64_t kSize = 0x1000;

  enum class Milestone { kKernelEntry, kFirstUserInstruction, kCommandStarted, kCommandEnded };
  static constexpr size_t kMilestoneCount = 4;

  struct Handlers {
    std::function<void(uint8_t exit_code)> power_off;
    std::function<void()> reset;
  };

  // The handlers are called from a register access: they must not block.
  explicit MachineControl(Handlers handlers) : handlers_(std::move(handlers)) {}

  // Guest TSC at a milestone, if the guest has reported it. Call with the device lock held, or once
  // the machine has stopped.
  std::optional<uint64_t> milestone(Milestone which) const;

  std::string_view name() const override { return "machine-control"; }
  void read(uint64_t offset, std::span<std::byte> data) override;
  void write(uint64_t offset, std::span<const std::byte> data) override;

  std::string state_tag() const override { return "machine-control"; }
  uint32_t state_version() const override { return 1; }
  Result<void> save(StateWriter& writer) const override;
  Result<void> restore(StateReader& reader, uint32_t version) override;

 private:
  void finish(uint32_t value);

  struct Latch {
    uint32_t low = 0;
    std::optional<uint64_t> value;
  };

  Handlers handlers_;
  std::array<Latch, kMilestoneCount> milestones_;
};

}  // namespace ensemble::vmm
