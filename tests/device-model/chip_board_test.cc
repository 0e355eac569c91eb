#include "device-model/chip_board.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "device-model/machine_layout.h"
#include "device-model/world/constant_world.h"

namespace ensemble::device {
namespace {

std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Timers of this process that are set to ring.
int armed_timers() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    const std::string text = file_text(entry.path());
    const bool is_timer = text.find("it_value: (") != std::string::npos;
    count += is_timer && text.find("it_value: (0, 0)") == std::string::npos ? 1 : 0;
  }
  return count;
}

// A number of /proc/thread-self/status.
std::uint64_t of_this_thread(const std::string& field) {
  std::istringstream status(file_text("/proc/thread-self/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) {
      return std::stoull(line.substr(field.size() + 1));
    }
  }
  ADD_FAILURE() << "no field " << field;
  return 0;
}

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

TEST_F(ChipBoardTest, ChipsThatNobodyReadsWakeNobody) {
  PlacedBus all{.name = "i2c1",
                .address = kI2cAddress + kI2cSize,
                .gsi = kI2cGsis[1],
                .clock = 400'000,
                .chips = {}};
  std::uint32_t pin = kFirstChipPin + 1;
  std::uint8_t address = 0x10;
  for (const ChipModel* model : chip_catalogue()) {
    all.chips.push_back({.name = std::string(model->name), .model = model, .address = address++});
    if (model->interrupt != ChipInterrupt::kNone) {
      all.chips.back().interrupt_pin = pin++;
    }
  }
  ASSERT_GT(all.chips.size(), 10U);
  const auto added = board_.add_i2c(all, {});
  ASSERT_TRUE(added) << added.error().message();
  EXPECT_EQ(armed_timers(), 0);
  EXPECT_EQ(of_this_thread("Threads"), 1U);
  const std::uint64_t before = of_this_thread("voluntary_ctxt_switches");
  EXPECT_EQ(loop_->run_once(std::chrono::seconds(2)).value(), 0);
  // One to wait, and one at most that the test's own reading of files makes.
  EXPECT_LE(of_this_thread("voluntary_ctxt_switches") - before, 2U);
  EXPECT_EQ(armed_timers(), 0);

  // What the count is worth: a sensor whose interrupt is enabled has a timer.
  chip_write(0x68, 0x40, 0x25);  // At 12.5 Hz: it does not ring before it is seen.
  chip_write(0x68, 0x7E, 0x11);
  write(kGpioAddress + kFirstChipPin * 4, 3 << 11);
  chip_write(0x68, 0x53, 0x0A);
  chip_write(0x68, 0x56, 0x80);
  chip_write(0x68, 0x51, 0x10);
  EXPECT_EQ(armed_timers(), 1);
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
