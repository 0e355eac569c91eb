#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Bmc150Test : public testing::Test {
 protected:
  // What the driver's probe does: reset, normal mode, 125 Hz of bandwidth, 4 g, slope, latch.
  void probe() {
    chip_.write(0x14, 0xB6);
    chip_.pass_milliseconds(2);
    ASSERT_EQ(chip_.read(0x00), 0xFA);
    chip_.write(0x11, 0x00);
    chip_.write(0x10, 0x0C);
    chip_.write(0x0F, 0x05);
    chip_.write(0x28, 0x04);
    chip_.update(0x27, 0x03, 0x01);
    chip_.write(0x21, 0x8F);
    chip_.pass_milliseconds(20);
  }
  // As the driver converts, in m/s².
  double acceleration(unsigned axis) {
    const std::int16_t word = chip_.read_signed(static_cast<std::uint8_t>(0x02 + 2 * axis));
    const std::uint8_t range = chip_.read(0x0F);
    const double scale = range == 3   ? 0.00961
                         : range == 5 ? 0.019122
                         : range == 8 ? 0.038344
                                      : 0.077057;
    return (word >> 4) * scale;
  }

  ChipHarness chip_{"bmc150"};
};

TEST_F(Bmc150Test, MeasuresTheWorldAsTheDriverConverts) {
  probe();
  chip_.world.set(Quantity::kAccelerationX, -5.5);
  chip_.pass_milliseconds(10);
  EXPECT_NEAR(acceleration(0), -5.5, 0.03);
  EXPECT_NEAR(acceleration(1), 0, 0.02);
  EXPECT_NEAR(acceleration(2), 9.80665, 0.03);
  EXPECT_EQ(static_cast<std::int8_t>(chip_.read(0x08)), 2);  // 25 °C.
  chip_.write(0x0F, 0x0C);
  chip_.world.set(Quantity::kAccelerationX, 140);
  chip_.pass_milliseconds(10);
  EXPECT_NEAR(acceleration(0), 140, 1.0);
  EXPECT_EQ(chip_.read(0x02) & 1, 0);  // Read since it was new.
}

TEST_F(Bmc150Test, SuspendFreezesValues) {
  probe();
  chip_.write(0x11, 0x80);
  chip_.world.set(Quantity::kAccelerationZ, 0);
  chip_.pass_milliseconds(100);
  EXPECT_NEAR(acceleration(2), 9.80665, 0.03);
  chip_.write(0x11, 0x00);
  chip_.pass_milliseconds(10);
  EXPECT_EQ(acceleration(2), 0);
}

TEST_F(Bmc150Test, DataReadyInterruptsAtTwiceTheBandwidth) {
  probe();
  chip_.write(0x10, 0x09);  // 31.25 Hz.
  chip_.write(0x21, 0x80);
  EXPECT_FALSE(chip_.waits());
  chip_.update(0x1A, 0x01, 0x01);
  chip_.update(0x17, 0x10, 0x10);
  chip_.read(0x02, 6);
  const unsigned edges = chip_.rising_edges();
  chip_.pass_milliseconds(321);
  EXPECT_EQ(chip_.rising_edges() - edges, 10U);
  chip_.update(0x17, 0x10, 0x00);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Bmc150Test, SlopeInterruptIsLatchedUntilTheDriverResetsIt) {
  probe();
  chip_.update(0x19, 0x04, 0x04);
  chip_.update(0x16, 0x07, 0x07);
  chip_.write(0x27, 0x00);
  chip_.pass_milliseconds(20);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.world.set(Quantity::kAccelerationY, -7);
  chip_.pass_milliseconds(50);
  EXPECT_TRUE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x09), 0x04);
  EXPECT_EQ(chip_.read(0x0B), 0x0A);  // Y, downwards.
  chip_.write(0x21, 0x8F);
  EXPECT_FALSE(chip_.interrupt_high());
}

// At 4 g a step of 10 bits is 7.8 mg: the threshold of 4 steps is 0.31 m/s².
TEST_F(Bmc150Test, SlopeThresholdIsInStepsOfTenBits) {
  probe();
  chip_.update(0x19, 0x04, 0x04);
  chip_.update(0x16, 0x07, 0x07);
  chip_.write(0x27, 0x00);
  chip_.pass_milliseconds(20);
  chip_.world.set(Quantity::kAccelerationY, 0.25);
  chip_.pass_milliseconds(50);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.world.set(Quantity::kAccelerationY, 0.65);
  chip_.pass_milliseconds(50);
  EXPECT_TRUE(chip_.interrupt_high());
}

TEST_F(Bmc150Test, FifoHoldsFramesOfElapsedTime) {
  probe();
  chip_.write(0x30, 10);
  chip_.write(0x3E, 0x40);
  chip_.update(0x1A, 0x02, 0x02);
  chip_.update(0x17, 0x40, 0x40);
  chip_.pass_milliseconds(33);
  EXPECT_EQ(chip_.read(0x0E), 8);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.pass_milliseconds(8);
  EXPECT_TRUE(chip_.interrupt_high());
  const auto frames = chip_.read(0x3F, 60);
  EXPECT_NEAR((static_cast<std::int16_t>(frames[4] | frames[5] << 8) >> 4) * 0.019122, 9.80665,
              0.03);
  EXPECT_EQ(chip_.read(0x0E), 0);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.pass_milliseconds(10'000);
  EXPECT_EQ(chip_.read(0x0E), 0x80 | 32);
}

TEST_F(Bmc150Test, SelfTestDeflects) {
  probe();
  chip_.write(0x32, 0x11);
  chip_.pass_milliseconds(10);
  const double positive = acceleration(0);
  chip_.write(0x32, 0x15);
  chip_.pass_milliseconds(10);
  EXPECT_GT(positive - acceleration(0), 0.8 * 9.80665);
}

TEST_F(Bmc150Test, KeepsItsStateOverSaveAndRestore) {
  probe();
  chip_.write(0x3E, 0x80);
  chip_.pass_milliseconds(41);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read(0x0E), 10);
  EXPECT_EQ(chip_.read(0x0F), 0x05);
  EXPECT_NEAR(acceleration(2), 9.80665, 0.03);
}

}  // namespace
}  // namespace ensemble::device
