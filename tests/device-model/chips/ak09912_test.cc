#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Ak09912Test : public testing::Test {
 protected:
  void probe() {
    ASSERT_EQ(chip_.read(0x00), 0x48);
    ASSERT_EQ(chip_.read(0x01), 0x04);
    chip_.write(0x31, 0x1F);
    sensitivity_ = chip_.read(0x60, 3);
    chip_.write(0x31, 0x00);
  }

  // One measurement as the driver makes it, in T.
  double measure(unsigned axis) {
    chip_.write(0x31, 0x01);
    chip_.pass_milliseconds(10);
    EXPECT_EQ(chip_.read(0x10) & 1, 1);
    const auto value = chip_.read_signed(static_cast<std::uint8_t>(0x11 + 2 * axis));
    EXPECT_EQ(chip_.read(0x18) & 8, 0);
    const double gauss = (sensitivity_.at(axis) + 128) * 1500 / 256 * 1e-6;
    return value * gauss * 1e-4;
  }

  ChipHarness chip_{"ak09912"};
  std::vector<std::uint8_t> sensitivity_;
};

TEST_F(Ak09912Test, MeasuresTheWorldAsTheDriverConverts) {
  probe();
  chip_.world.set(Quantity::kMagneticFieldX, 31.4e-6);
  chip_.world.set(Quantity::kMagneticFieldY, -900e-6);
  EXPECT_NEAR(measure(0), 31.4e-6, 0.15e-6);
  EXPECT_NEAR(measure(1), -900e-6, 0.15e-6);
  EXPECT_NEAR(measure(2), -44e-6, 0.15e-6);
}

TEST_F(Ak09912Test, OneMeasurementTakesItsTimeAndEndsInPowerDown) {
  probe();
  chip_.write(0x31, 0x01);
  EXPECT_EQ(chip_.read(0x10) & 1, 0);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.pass_milliseconds(8);
  EXPECT_TRUE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x31), 0);
  EXPECT_FALSE(chip_.waits());
  chip_.read(0x11, 8);
  EXPECT_FALSE(chip_.interrupt_high());
}

TEST_F(Ak09912Test, MeasuresContinuously) {
  probe();
  chip_.write(0x31, 0x04);  // 20 Hz.
  chip_.pass_milliseconds(51);
  EXPECT_EQ(chip_.read(0x10), 1);
  chip_.pass_milliseconds(100);
  EXPECT_EQ(chip_.read(0x10), 3);  // One was lost.
  chip_.read(0x11, 8);
  EXPECT_EQ(chip_.read(0x10), 0);
}

TEST_F(Ak09912Test, TellsAnOverflow) {
  probe();
  chip_.world.set(Quantity::kMagneticFieldZ, 0.02);
  chip_.write(0x31, 0x01);
  chip_.pass_milliseconds(10);
  EXPECT_EQ(chip_.read(0x18) & 8, 8);
}

TEST_F(Ak09912Test, SelfTestIsWithinItsLimits) {
  probe();
  chip_.write(0x31, 0x10);
  chip_.pass_milliseconds(10);
  const auto data = chip_.read(0x11, 6);
  const auto z = static_cast<std::int16_t>(data[4] | data[5] << 8);
  EXPECT_GE(z, -1600);
  EXPECT_LE(z, -400);
}

TEST_F(Ak09912Test, ReadsInCirclesAndResets) {
  probe();
  const auto bytes = chip_.read(0x18, 2);
  EXPECT_EQ(bytes[1], chip_.read(0x10));
  chip_.write(0x31, 0x08);
  chip_.write(0x32, 0x01);
  EXPECT_EQ(chip_.read(0x31), 0);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Ak09912Test, KeepsItsStateOverSaveAndRestore) {
  probe();
  chip_.write(0x31, 0x08);
  chip_.pass_milliseconds(11);
  chip_.save_and_restore();
  EXPECT_TRUE(chip_.interrupt_high());
  EXPECT_NEAR(chip_.read_signed(0x13) * 0.15, 20, 0.15);
  chip_.world.set(Quantity::kMagneticFieldY, 0);
  chip_.pass_milliseconds(11);
  EXPECT_EQ(chip_.read_signed(0x13), 0);
}

}  // namespace
}  // namespace ensemble::device
