#include "vmm/machine_control.h"

#include <cstring>

namespace ensemble::vmm {
namespace {

constexpr uint64_t kFinishRegister = 0x00;
constexpr uint64_t kFirstMilestone = 0x08;
constexpr uint64_t kMilestoneStride = 8;

// The low half of the finish register; the high half is the exit code.
constexpr uint32_t kPass = 0x5555;
constexpr uint32_t kFail = 0x3333;
constexpr uint32_t kReset = 0x7777;

}  // namespace

std::optional<uint64_t> MachineControl::milestone(Milestone which) const {
  return milestones_[static_cast<size_t>(which)].value;
}

void MachineControl::read(uint64_t, std::span<std::byte> data) {
  std::memset(data.data(), 0, data.size());
}

void MachineControl::write(uint64_t offset, std::span<const std::byte> data) {
  uint32_t value = 0;
  if (data.size() != sizeof(value)) {
    return;
  }
  std::memcpy(&value, data.data(), sizeof(value));
  if (offset == kFinishRegister) {
    finish(value);
    return;
  }
  if (offset < kFirstMilestone || offset % sizeof(value) != 0) {
    return;
  }
  const uint64_t index = (offset - kFirstMilestone) / kMilestoneStride;
  if (index >= milestones_.size()) {
    return;
  }
  Latch& latch = milestones_[index];
  if (offset % kMilestoneStride == 0) {
    latch.low = value;
  } else {
    latch.value = uint64_t{value} << 32 | latch.low;
  }
}

void MachineControl::finish(uint32_t value) {
  const auto exit_code = static_cast<uint8_t>(value >> 16);
  switch (value & 0xffff) {
    case kPass:
      handlers_.power_off(0);
      break;
    case kFail:
      handlers_.power_off(exit_code);
      break;
    case kReset:
      handlers_.reset();
      break;
    default:
      break;
  }
}

Result<void> MachineControl::save(StateWriter& writer) const {
  for (const Latch& latch : milestones_) {
    writer.u32(latch.low);
    writer.boolean(latch.value.has_value());
    writer.u64(latch.value.value_or(0));
  }
  return {};
}

Result<void> MachineControl::restore(StateReader& reader, uint32_t) {
  std::array<Latch, kMilestoneCount> milestones;
  for (Latch& latch : milestones) {
    latch.low = reader.u32();
    const bool present = reader.boolean();
    const uint64_t value = reader.u64();
    if (present) {
      latch.value = value;
    }
  }
  if (auto finished = reader.finish(); !finished) {
    return finished;
  }
  milestones_ = milestones;
  return {};
}

}  // namespace ensemble::vmm
