#include <cmath>

#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

// As Linux's bmi160 driver converts: its scales for ±2 g and ±2000 °/s.
constexpr double kAccelerationScale = 0.000598;
constexpr double kAngularVelocityScale = 0.001065;

class Bmi160Test : public testing::Test {
 protected:
  // What the driver's probe does.
  void probe() {
    chip_.write(0x7E, 0xB6);
    chip_.pass_milliseconds(1);
    chip_.read(0x7F);
    ASSERT_EQ(chip_.read(0x00), 0xD1);
    chip_.write(0x7E, 0x11);
    chip_.pass_milliseconds(5);
    chip_.write(0x7E, 0x15);
    chip_.pass_milliseconds(81);
  }
  void enable_data_ready() {
    chip_.update(0x53, 0x0F, 0x0A);
    chip_.update(0x54, 0x10, 0x10);
    chip_.update(0x56, 0x80, 0x80);
    chip_.update(0x51, 0x10, 0x10);
  }

  ChipHarness chip_{"bmi160"};
};

TEST_F(Bmi160Test, MeasuresTheWorldAsTheDriverConverts) {
  chip_.world.set(Quantity::kAccelerationX, -3.25);
  chip_.world.set(Quantity::kAngularVelocityY, 1.5);
  probe();
  EXPECT_NEAR(chip_.read_signed(0x12) * kAccelerationScale, -3.25, 0.005);
  EXPECT_NEAR(chip_.read_signed(0x16) * kAccelerationScale, 9.80665, 0.012);
  EXPECT_NEAR(chip_.read_signed(0x0E) * kAngularVelocityScale, 1.5, 0.002);
  EXPECT_EQ(chip_.read_signed(0x0C), 0);
}

TEST_F(Bmi160Test, RangesScaleAndCutOff) {
  probe();
  chip_.write(0x41, 0x0C);  // ±16 g.
  chip_.write(0x43, 0x04);  // ±125 °/s.
  chip_.world.set(Quantity::kAccelerationZ, 100);
  chip_.world.set(Quantity::kAngularVelocityX, -50);
  chip_.pass_milliseconds(20);
  EXPECT_NEAR(chip_.read_signed(0x16) * 0.004788, 100, 0.05);
  EXPECT_EQ(chip_.read_signed(0x0C), -32768);
}

TEST_F(Bmi160Test, SuspendFreezesValuesAndNothingRuns) {
  probe();
  chip_.write(0x7E, 0x10);
  EXPECT_EQ(chip_.read(0x03), 0x04);
  const std::int16_t before = chip_.read_signed(0x16);
  chip_.world.set(Quantity::kAccelerationZ, 0);
  chip_.pass_milliseconds(1000);
  EXPECT_EQ(chip_.read_signed(0x16), before);
  EXPECT_FALSE(chip_.waits());
  chip_.write(0x7E, 0x11);
  chip_.pass_milliseconds(20);
  EXPECT_EQ(chip_.read_signed(0x16), 0);
}

TEST_F(Bmi160Test, SamplesComeAtTheOutputDataRate) {
  probe();
  chip_.update(0x40, 0x0F, 0x06);  // 25 Hz.
  chip_.pass_milliseconds(50);
  chip_.read(0x12, 6);
  EXPECT_EQ(chip_.read(0x1B) & 0x80, 0);
  chip_.pass_milliseconds(41);
  EXPECT_EQ(chip_.read(0x1B) & 0x80, 0x80);
}

TEST_F(Bmi160Test, DataReadyIsAnEdgePerSampleWhileEnabled) {
  probe();
  EXPECT_FALSE(chip_.waits());
  enable_data_ready();
  EXPECT_TRUE(chip_.waits());
  chip_.read(0x12, 6);
  const unsigned edges = chip_.rising_edges();
  chip_.pass_milliseconds(100);
  EXPECT_EQ(chip_.rising_edges() - edges, 10U);  // 100 Hz, and nobody read in between.
  chip_.update(0x51, 0x10, 0);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Bmi160Test, AnyMotionInterruptTellsASlope) {
  probe();
  chip_.update(0x53, 0x0F, 0x0A);
  chip_.write(0x55, 0x04);
  chip_.write(0x50, 0x04);  // Slope of z.
  chip_.pass_milliseconds(50);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.world.set(Quantity::kAccelerationZ, 12);
  chip_.pass_milliseconds(20);
  EXPECT_TRUE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x1C), 0x04);
  EXPECT_FALSE(chip_.interrupt_high());
}

TEST_F(Bmi160Test, FifoHoldsFramesOfElapsedTime) {
  probe();
  chip_.write(0x47, 0xD0);  // Both sensors, with headers.
  chip_.pass_milliseconds(100);
  ASSERT_EQ(chip_.read_word(0x22), 10 * 13);
  const auto frame = chip_.read(0x24, 13);
  EXPECT_EQ(frame[0], 0x8C);
  EXPECT_NEAR(static_cast<std::int16_t>(frame[11] | frame[12] << 8), 16384, 1);
  EXPECT_EQ(chip_.read_word(0x22), 9 * 13);
  chip_.pass_milliseconds(100'000);
  EXPECT_EQ(chip_.read_word(0x22), 1024 / 13 * 13);
  EXPECT_EQ(chip_.read(0x1D) & 0x20, 0x20);
  chip_.write(0x7E, 0xB0);
  EXPECT_EQ(chip_.read_word(0x22), 0);
  EXPECT_EQ(chip_.read(0x24), 0x80);
}

TEST_F(Bmi160Test, SelfTestDeflects) {
  probe();
  chip_.write(0x41, 0x08);
  chip_.write(0x6D, 0x0D);
  chip_.pass_milliseconds(50);
  const int positive = chip_.read_signed(0x12);
  chip_.write(0x6D, 0x09);
  chip_.pass_milliseconds(50);
  EXPECT_GT(positive - chip_.read_signed(0x12), 0.8 * 4096);
  chip_.write(0x6D, 0x10);
  EXPECT_EQ(chip_.read(0x1B) & 2, 2);
}

TEST_F(Bmi160Test, KeepsItsStateOverSaveAndRestore) {
  probe();
  enable_data_ready();
  chip_.write(0x41, 0x05);
  chip_.write(0x47, 0x50);
  chip_.pass_milliseconds(100);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read(0x41), 0x05);
  EXPECT_EQ(chip_.read_word(0x22), 10 * 7);
  EXPECT_TRUE(chip_.waits());
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.world.set(Quantity::kAccelerationZ, 0);
  chip_.pass_milliseconds(11);
  EXPECT_EQ(chip_.read_signed(0x16), 0);
}

TEST_F(Bmi160Test, SoftResetSuspends) {
  probe();
  enable_data_ready();
  chip_.write(0x7E, 0xB6);
  EXPECT_EQ(chip_.read(0x03), 0);
  EXPECT_EQ(chip_.read(0x40), 0x28);
  EXPECT_FALSE(chip_.waits());
  chip_.write(0x00, 0x55);
  EXPECT_EQ(chip_.read(0x00), 0xD1);
}

}  // namespace
}  // namespace ensemble::device
