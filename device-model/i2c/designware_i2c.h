#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "device-model/i2c/i2c_bus.h"
#include "vmm/bus.h"
#include "vmm/interrupt_line.h"
#include "vmm/state.h"

namespace ensemble::device {

// A Synopsys DesignWare APB I²C controller, as master with 7-bit addresses: registers and
// interrupts of the DW_apb_i2c databook as far as Linux's i2c-designware and its like use them
// (ACPI AMDI0010, device tree snps,designware-i2c). Standard, fast and fast-plus timings are
// accepted; the wires take no time, so a command is done when it is written, unless the receive
// FIFO has no room for its byte: then it waits in the transmit FIFO, as it does while the real
// controller holds the clock.
class DesignwareI2c final : public vmm::BusDevice, public vmm::Stateful {
 public:
  static constexpr std::uint64_t kSize = 0x1000;
  static constexpr std::size_t kFifoDepth = 64;

  // `name` is unique in the machine: "i2c0". `interrupt` may be null.
  DesignwareI2c(std::string name, std::unique_ptr<vmm::LevelInterruptLine> interrupt);

  // Where its devices go; they outlive its last access.
  I2cAddresses& bus() { return bus_; }

  std::string_view name() const override { return name_; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  std::string state_tag() const override { return name_; }
  std::uint32_t state_version() const override { return 1; }
  Result<void> save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader, std::uint32_t version) override;

 private:
  static constexpr std::size_t kSettingCount = 64;  // Words up to 0xFF.

  // What the bus is doing, as this master sees it.
  enum class Phase : std::uint8_t { kIdle, kWriting, kReading };

  std::uint32_t read_register(std::uint64_t offset);
  std::uint32_t clear_on_read(std::uint64_t offset);
  void write_register(std::uint64_t offset, std::uint32_t value);
  void enable(std::uint32_t value);
  void push_command(std::uint16_t command);
  void run_commands();
  void run(std::uint16_t command);
  bool address(I2cDirection direction, bool restart);
  void abort(std::uint32_t source);
  void stop();
  bool enabled() const;
  std::uint32_t raw_interrupts() const;
  std::uint32_t status() const;
  std::uint32_t& setting(std::uint64_t offset) { return settings_[offset / 4]; }
  std::uint32_t setting(std::uint64_t offset) const { return settings_[offset / 4]; }
  void update_interrupt();

  const std::string name_;
  const std::unique_ptr<vmm::LevelInterruptLine> interrupt_;
  I2cAddresses bus_;
  std::array<std::uint32_t, kSettingCount> settings_{};  // Registers that read as written.
  std::uint32_t latched_ = 0;                            // Raw interrupts that reads clear.
  std::uint32_t abort_source_ = 0;
  Phase phase_ = Phase::kIdle;
  std::uint8_t target_ = 0;  // The address that answered, outside kIdle.
  std::deque<std::uint16_t> commands_;
  std::deque<std::uint8_t> received_;
};

}  // namespace ensemble::device
