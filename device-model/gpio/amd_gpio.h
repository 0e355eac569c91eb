#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "vmm/bus.h"
#include "vmm/interrupt_line.h"
#include "vmm/state.h"

namespace ensemble::device {

// A GPIO controller as AMD's FCH has it (ACPI AMDI0030), for the interrupt outputs of chips: a
// 32-bit register per pin, its status bits, and one level interrupt for all pins. Chosen since a
// stock distribution kernel has its driver built in (CONFIG_PINCTRL_AMD=y, bound by ACPI), where
// the drivers of generic controllers bind by device tree only; since all of a pin is one register;
// and since the same vendor's I2C controller is what the chips hang on. Intel's controllers need
// per-generation tables of communities and pads.
//
// Pins that nobody drives read low. Debouncing is accepted and does nothing: chips do not bounce.
class AmdGpio final : public vmm::BusDevice, public vmm::Stateful {
 public:
  static constexpr std::uint64_t kSize = 0x400;
  static constexpr std::uint32_t kPinCount = 184;
  // The register of this pin is another one's place, so there is no such pin.
  static constexpr std::uint32_t kNoPin = 63;

  // `interrupt` may be null.
  explicit AmdGpio(std::unique_ptr<vmm::LevelInterruptLine> interrupt)
      : interrupt_(std::move(interrupt)) {}

  // The level of a pin as what is connected to it drives it. `pin` is below kPinCount and not
  // kNoPin. Call with the device lock held.
  void drive(std::uint32_t pin, bool high);

  std::string_view name() const override { return "gpio"; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  std::string state_tag() const override { return "gpio"; }
  std::uint32_t state_version() const override { return 1; }
  Result<void> save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader, std::uint32_t version) override;

 private:
  std::uint32_t read_register(std::uint64_t offset) const;
  void write_pin(std::uint32_t pin, std::uint32_t value);
  void see_level(std::uint32_t pin);
  void update_interrupt();

  const std::unique_ptr<vmm::LevelInterruptLine> interrupt_;
  std::array<std::uint32_t, kPinCount> pins_{};
  std::uint32_t master_ = 0;
};

}  // namespace ensemble::device
