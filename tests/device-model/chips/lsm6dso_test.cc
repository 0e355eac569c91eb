#include <numbers>

#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Lsm6dsoTest : public testing::Test {
 protected:
  // What the driver's probe does: identity, reset, block data update; then both at 104 Hz.
  void probe() {
    ASSERT_EQ(chip_.read(0x0F), 0x6C);
    chip_.update(0x12, 0x01, 0x01);
    ASSERT_EQ(chip_.read(0x12) & 1, 0);
    chip_.update(0x12, 0x40, 0x40);
    chip_.update(0x10, 0xF0, 0x40);
    chip_.update(0x11, 0xF0, 0x40);
    chip_.pass_milliseconds(20);
  }
  static constexpr double kDegree = std::numbers::pi / 180;

  ChipHarness chip_{"lsm6dso"};
};

TEST_F(Lsm6dsoTest, MeasuresTheWorldAsTheDriverConverts) {
  chip_.world.set(Quantity::kAccelerationX, 4.2);
  chip_.world.set(Quantity::kAngularVelocityZ, -1.25);
  probe();
  EXPECT_EQ(chip_.read(0x1E) & 3, 3);
  EXPECT_NEAR(chip_.read_signed(0x28) * 0.061e-3 * 9.80665, 4.2, 0.001);
  EXPECT_NEAR(chip_.read_signed(0x2C) * 0.061e-3 * 9.80665, 9.80665, 0.001);
  EXPECT_NEAR(chip_.read_signed(0x26) * 8.75e-3 * kDegree, -1.25, 0.001);
  EXPECT_EQ(chip_.read_signed(0x20), 0);  // 25 °C.
  EXPECT_EQ(chip_.read(0x1E) & 7, 0);
}

TEST_F(Lsm6dsoTest, RangesScale) {
  probe();
  chip_.update(0x10, 0x0C, 0x04);  // ±16 g.
  chip_.update(0x11, 0x0E, 0x0C);  // ±2000 °/s.
  chip_.world.set(Quantity::kAccelerationZ, 120);
  chip_.world.set(Quantity::kAngularVelocityX, 30);
  chip_.pass_milliseconds(20);
  EXPECT_NEAR(chip_.read_signed(0x2C) * 0.488e-3 * 9.80665, 120, 0.003);
  EXPECT_NEAR(chip_.read_signed(0x22) * 70e-3 * kDegree, 30, 0.001);
}

TEST_F(Lsm6dsoTest, PowerDownFreezesValues) {
  probe();
  chip_.update(0x10, 0xF0, 0x00);
  chip_.world.set(Quantity::kAccelerationZ, 0);
  chip_.pass_milliseconds(1000);
  EXPECT_GT(chip_.read_signed(0x2C), 16000);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Lsm6dsoTest, FifoHoldsTaggedWordsAndTellsItsWatermark) {
  probe();
  chip_.write(0x09, 0x44);
  chip_.write(0x07, 8);
  chip_.update(0x0D, 0x08, 0x08);
  chip_.write(0x0A, 0x06);
  EXPECT_TRUE(chip_.waits());
  chip_.pass_milliseconds(30);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.pass_milliseconds(10);
  EXPECT_TRUE(chip_.interrupt_high());
  const std::uint16_t status = chip_.read_word(0x3A);
  EXPECT_EQ(status & 0x3FF, 8);
  EXPECT_EQ(status >> 15, 1);
  const auto words = chip_.read(0x78, 14);
  EXPECT_EQ(words[0] >> 3, 1);
  EXPECT_EQ(words[7] >> 3, 2);
  EXPECT_EQ(words[0] >> 1 & 3, words[7] >> 1 & 3);  // Of one instant.
  EXPECT_NEAR(static_cast<std::int16_t>(words[12] | words[13] << 8) * 0.061e-3, 1, 0.001);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.pass_milliseconds(60'000);
  EXPECT_EQ(chip_.read_word(0x3A), 0xE000 | 512);
  chip_.write(0x0A, 0x00);
  EXPECT_EQ(chip_.read_word(0x3A), 0);
}

TEST_F(Lsm6dsoTest, FifoHasTimeStampsWhereAsked) {
  probe();
  chip_.write(0x19, 0x20);
  chip_.write(0x42, 0xAA);
  chip_.write(0x09, 0x04);
  chip_.write(0x0A, 0x46);
  chip_.pass_milliseconds(25);
  EXPECT_NEAR(chip_.read_word(0x40), 1000, 1);
  EXPECT_EQ(chip_.read_word(0x3A) & 0x3FF, 4);
  const auto words = chip_.read(0x78, 28);
  EXPECT_EQ(words[0] >> 3, 4);
  EXPECT_EQ(words[7] >> 3, 2);
  const int first = words[1] | words[2] << 8;
  const int second = words[15] | words[16] << 8;
  EXPECT_NEAR(second - first, 1e6 / 104 / 25, 1);
}

TEST_F(Lsm6dsoTest, WakeUpInterruptTellsASlope) {
  probe();
  chip_.write(0x58, 0x80);
  chip_.write(0x5B, 0x02);
  chip_.write(0x56, 0x01);
  chip_.write(0x5E, 0x20);
  chip_.pass_milliseconds(50);
  chip_.read(0x1B);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.world.set(Quantity::kAccelerationX, 3);
  chip_.pass_milliseconds(30);
  EXPECT_TRUE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x1B), 0x0C);
  EXPECT_FALSE(chip_.interrupt_high());
}

TEST_F(Lsm6dsoTest, TheHubsPageDoesNotTouchTheSensors) {
  probe();
  chip_.write(0x01, 0x40);
  chip_.write(0x10, 0xFF);
  EXPECT_EQ(chip_.read(0x10), 0xFF);
  chip_.write(0x01, 0x00);
  EXPECT_EQ(chip_.read(0x10), 0x40);
}

TEST_F(Lsm6dsoTest, SelfTestDeflects) {
  probe();
  const int before = chip_.read_signed(0x28);
  chip_.write(0x14, 0x01);
  chip_.pass_milliseconds(20);
  EXPECT_NEAR((chip_.read_signed(0x28) - before) * 0.061, 500, 1);  // mg
}

TEST_F(Lsm6dsoTest, KeepsItsStateOverSaveAndRestore) {
  probe();
  chip_.write(0x09, 0x44);
  chip_.write(0x0A, 0x06);
  chip_.pass_milliseconds(40);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read_word(0x3A), 8);
  EXPECT_EQ(chip_.read(0x10), 0x40);
  chip_.world.set(Quantity::kAccelerationZ, 0);
  chip_.pass_milliseconds(10);
  EXPECT_EQ(chip_.read_signed(0x2C), 0);
}

TEST_F(Lsm6dsoTest, AWakeUpWithinATransferTearsNoSample) {
  probe();
  chip_.update(0x0D, 0x01, 0x01);
  chip_.world.set(Quantity::kAccelerationX, 0);
  chip_.pass_milliseconds(20);
  ChipDevice& chip = chip_.chip();
  chip.start(I2cDirection::kWrite);
  chip.write(0x28);
  chip.start(I2cDirection::kRead);
  EXPECT_EQ(chip.read(), 0);
  chip_.world.set(Quantity::kAccelerationX, -4.2);
  chip_.pass_milliseconds(20);
  EXPECT_EQ(chip.read(), 0) << "of the sample whose other half was read";
  chip.stop();
  EXPECT_TRUE(chip_.waits());
  chip_.pass_milliseconds(0);
  EXPECT_NEAR(chip_.read_signed(0x28) * 0.061e-3 * 9.80665, -4.2, 0.001);
}

}  // namespace
}  // namespace ensemble::device
