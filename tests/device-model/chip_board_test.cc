#include "device-model/chip_board.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "device-model/machine_layout.h"
#include "device-model/world/constant_world.h"

namespace ensemble::device {
namespace {

// A machine without processors that has a board with a motion sensor and a fuel gauge.
class ChipBoardTest : public testing::Test {
 protected:
  ChipBoardTest() {
    EXPECT_TRUE(board_.add_gpio({.address = kGpioAddress, .gsi = kGpioGsi}));
    EXPECT_TRUE(board_.add_i2c(bus(), {}));
  }

  static PlacedBus bus() {
    return {.name = "i2c0",
            .address = kI2cAddress,
            .gsi = kI2cGsis[0],
            .clock = 400'000,
            .chips = {{.name = "motion",
                       .model = find_chip("bmi160"),
                       .address = 0x68,
                       .interrupt_pin = kFirstChipPin},
                      {.name = "fuel-gauge", .model = find_chip("max17047"), .address = 0x36}}};
  }

  std::uint32_t read(std::uint64_t address) {
    std::uint32_t value = 0;
    registers_.read(address, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write(std::uint64_t address, std::uint32_t value) {
    registers_.write(address, std::as_bytes(std::span(&value, 1)));
  }

  void begin(std::uint8_t target) {
    write(kI2cAddress + 0x6C, 0);
    write(kI2cAddress + 0x04, target);
    write(kI2cAddress + 0x6C, 1);
    read(kI2cAddress + 0x40);
  }
  std::uint8_t chip_read(std::uint8_t target, std::uint8_t address) {
    begin(target);
    write(kI2cAddress + 0x10, address);
    write(kI2cAddress + 0x10, 0x700);  // Restart, read, stop.
    EXPECT_EQ(read(kI2cAddress + 0x80), 0U);
    return static_cast<std::uint8_t>(read(kI2cAddress + 0x10));
  }
  void chip_write(std::uint8_t target, std::uint8_t address, std::uint8_t value) {
    begin(target);
    write(kI2cAddress + 0x10, address);
    write(kI2cAddress + 0x10, 0x200U | value);
    EXPECT_EQ(read(kI2cAddress + 0x80), 0U);
  }

  std::unique_ptr<vmm::EventLoop> loop_ = vmm::EventLoop::create().value();
  vmm::Bus registers_{"mmio", loop_->device_lock()};
  bool i2c_interrupt_ = false;
  bool gpio_interrupt_ = false;
  ChipBoard::Host host_{
      .registers = registers_,
      .loop = *loop_,
      .make_interrupt =
          [this](std::uint32_t gsi) -> Result<std::unique_ptr<vmm::LevelInterruptLine>> {
        return std::make_unique<vmm::ObservedInterruptLine>(gsi == kGpioGsi ? gpio_interrupt_
                                                                            : i2c_interrupt_);
      }};
  ChipBoard board_{host_, std::make_unique<ConstantWorld>()};
};

TEST_F(ChipBoardTest, ChipsAnswerOnTheirBus) {
  EXPECT_EQ(chip_read(0x68, 0x00), 0xD1);
  EXPECT_EQ(chip_read(0x36, 0x21), 0xAC);
  begin(0x50);
  write(kI2cAddress + 0x10, 0);
  EXPECT_EQ(read(kI2cAddress + 0x80) & 1, 1U);
}

TEST_F(ChipBoardTest, InterruptsComeByTimersThatOnlyRunWhenAskedFor) {
  // Nobody listens: the loop has nothing to do although the sensor samples at 1600 Hz.
  chip_write(0x68, 0x40, 0x2C);
  chip_write(0x68, 0x7E, 0x11);
  EXPECT_EQ(loop_->run_once(std::chrono::milliseconds(30)).value(), 0);
  EXPECT_EQ(chip_read(0x68, 0x1B) & 0x80, 0x80);

  write(kGpioAddress + kFirstChipPin * 4, 3 << 11);  // Rising edges.
  chip_write(0x68, 0x53, 0x0A);
  chip_write(0x68, 0x56, 0x80);
  chip_write(0x68, 0x51, 0x10);
  write(kGpioAddress + kFirstChipPin * 4, read(kGpioAddress + kFirstChipPin * 4));
  EXPECT_FALSE(gpio_interrupt_);
  for (int i = 0; i < 100 && !gpio_interrupt_; ++i) {
    ASSERT_TRUE(loop_->run_once(std::chrono::milliseconds(100)));
  }
  EXPECT_TRUE(gpio_interrupt_);

  chip_write(0x68, 0x51, 0x00);
  EXPECT_EQ(loop_->run_once(std::chrono::milliseconds(30)).value(), 0);
}

TEST_F(ChipBoardTest, RefusesWhatCannotBeConnected) {
  PlacedBus doubled = bus();
  doubled.chips.push_back({.name = "twin", .model = find_chip("max17047"), .address = 0x36});
  const auto twice = board_.add_i2c(doubled, {});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message(),
            "chip 'twin' cannot be at 0x36 of bus 'i2c0': another chip is there");
  PlacedBus wired = bus();
  wired.chips[0].interrupt_pin = 500;
  const auto pinned = board_.add_i2c(wired, {});
  ASSERT_FALSE(pinned);
  EXPECT_NE(pinned.error().message().find("pin 500"), std::string::npos);
  EXPECT_FALSE(board_.add_gpio({.address = 0, .gsi = 0}));
}

TEST_F(ChipBoardTest, KeepsItsStateOverSaveAndRestore) {
  chip_write(0x68, 0x41, 0x0C);
  const auto state = vmm::save_state(board_.stateful_components());
  ASSERT_TRUE(state) << state.error().message();
  chip_write(0x68, 0x41, 0x03);
  const auto restored = vmm::restore_state(*state, board_.stateful_components());
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(chip_read(0x68, 0x41), 0x0C);
}

}  // namespace
}  // namespace ensemble::device
