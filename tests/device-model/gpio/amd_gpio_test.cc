#include "device-model/gpio/amd_gpio.h"

#include <gtest/gtest.h>

#include <vector>

namespace ensemble::device {
namespace {

class AmdGpioTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kPin = 9;
  static constexpr std::uint32_t kLevel = 1 << 8, kLow = 1 << 9, kBoth = 2 << 9;
  static constexpr std::uint32_t kEnabled = 3 << 11;  // And delivered.
  static constexpr std::uint32_t kStatus = 1 << 28, kInput = 1 << 16;

  std::uint32_t read(std::uint64_t offset) {
    std::uint32_t value = ~0U;
    gpio_.read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write(std::uint64_t offset, std::uint32_t value) {
    gpio_.write(offset, std::as_bytes(std::span(&value, 1)));
  }
  std::uint32_t pin() { return read(kPin * 4); }
  // As Linux's driver ends its handling: the register is written back as it reads.
  void acknowledge() {
    write(kPin * 4, pin());
    write(0xFC, read(0xFC) | 1 << 29);
  }

  bool interrupt_ = false;
  AmdGpio gpio_{std::make_unique<vmm::ObservedInterruptLine>(interrupt_)};
};

TEST_F(AmdGpioTest, RisingEdgeInterruptsOnce) {
  write(kPin * 4, kEnabled);
  EXPECT_EQ(pin(), kEnabled);  // As the driver waits for.
  gpio_.drive(kPin, true);
  EXPECT_TRUE(interrupt_);
  EXPECT_EQ(read(0x2F8), 1U << (kPin / 4));
  EXPECT_EQ(pin(), kEnabled | kStatus | kInput);
  acknowledge();
  EXPECT_FALSE(interrupt_);
  EXPECT_EQ(read(0x2F8), 0U);
  EXPECT_EQ(read(0xFC), 0U);
  gpio_.drive(kPin, false);
  EXPECT_FALSE(interrupt_);
}

TEST_F(AmdGpioTest, FallingAndBothEdges) {
  write(kPin * 4, kEnabled | kLow);
  gpio_.drive(kPin, true);
  EXPECT_FALSE(interrupt_);
  gpio_.drive(kPin, false);
  EXPECT_TRUE(interrupt_);
  acknowledge();
  write(kPin * 4, kEnabled | kBoth);
  gpio_.drive(kPin, true);
  EXPECT_TRUE(interrupt_);
}

TEST_F(AmdGpioTest, LevelInterruptsAsLongAsItLasts) {
  gpio_.drive(kPin, true);
  write(kPin * 4, kEnabled | kLevel | kLow);
  EXPECT_FALSE(interrupt_);
  gpio_.drive(kPin, false);
  EXPECT_TRUE(interrupt_);
  acknowledge();
  EXPECT_TRUE(interrupt_);
  write(kPin * 4, pin() & ~(1U << 12));  // Masked.
  EXPECT_FALSE(interrupt_);
  gpio_.drive(kPin, true);
  acknowledge();
  write(kPin * 4, pin() | 1U << 12);
  EXPECT_FALSE(interrupt_);
}

TEST_F(AmdGpioTest, NothingIsKeptOfADisabledPin) {
  gpio_.drive(kPin, true);
  EXPECT_EQ(pin(), kInput);
  write(kPin * 4, kEnabled);
  EXPECT_FALSE(interrupt_);
  write(0x2F8, ~0U);
  write(0x3FC, ~0U);
  EXPECT_EQ(read(0x3FC), 0U);
}

TEST_F(AmdGpioTest, OutputsReadBack) {
  write(kPin * 4, 3 << 22);
  EXPECT_EQ(pin(), 3U << 22 | kInput);
  write(kPin * 4, 1 << 23);
  EXPECT_EQ(pin(), 1U << 23);
}

TEST_F(AmdGpioTest, KeepsItsStateOverSaveAndRestore) {
  write(kPin * 4, kEnabled);
  gpio_.drive(kPin, true);
  const auto state = vmm::save_state(std::vector<vmm::Stateful*>{&gpio_});
  ASSERT_TRUE(state);
  bool interrupt = false;
  AmdGpio other(std::make_unique<vmm::ObservedInterruptLine>(interrupt));
  ASSERT_TRUE(vmm::restore_state(*state, std::vector<vmm::Stateful*>{&other}));
  EXPECT_TRUE(interrupt);
}

TEST_F(AmdGpioTest, RefusesStatesThatCannotBe) {
  vmm::StateWriter writer;
  ASSERT_TRUE(gpio_.save(writer));
  const auto error = [&](std::size_t place) {
    auto bad = writer.data();
    bad[place] = std::byte{0xFF};
    vmm::StateReader reader(bad);
    const auto restored = gpio_.restore(reader, 1);
    return restored ? std::string("accepted") : restored.error().message();
  };
  EXPECT_EQ(error(8 + 4 * AmdGpio::kNoPin),
            "pin 63 was saved as 0xff, of which no pin has the bits 0xff");
  EXPECT_EQ(error(8 + 4 * 5 + 3),
            "pin 5 was saved as 0xff000000, of which no pin has the bits 0xc0000000");
  EXPECT_NE(error(8 + 4 * AmdGpio::kPinCount + 3).find("the master register"), std::string::npos);
  EXPECT_EQ(error(8 + 4 * 5), "accepted");
}

}  // namespace
}  // namespace ensemble::device
