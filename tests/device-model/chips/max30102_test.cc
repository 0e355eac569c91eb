#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Max30102Test : public testing::Test {
 protected:
  void probe() {
    ASSERT_EQ(chip_.read(0xFF), 0x15);
    chip_.write(0x0C, 0x50);
    chip_.write(0x0D, 0x50);
    chip_.write(0x0A, 0x07 | 1 << 5);  // 100 Hz, 18 bits, 4096 nA.
    chip_.write(0x08, 0x1F);           // Roll over; almost full at 17.
    chip_.write(0x09, 0x03);
  }
  // What a diode's light gives at 16 mA.
  static double counts(double part) { return part * 16e-3 * 100e-6 / 4.096e-6 * 262'144; }

  ChipHarness chip_{"max30102"};
};

TEST_F(Max30102Test, FifoHoldsWhatTheSkinReturns) {
  probe();
  chip_.world.set(Quantity::kPulseRed, 0.25);
  chip_.world.set(Quantity::kPulseInfrared, 0.5);
  chip_.pass_milliseconds(51);
  EXPECT_EQ(chip_.read(0x04), 5);
  const auto sample = chip_.read(0x07, 6);
  EXPECT_NEAR(sample[0] << 16 | sample[1] << 8 | sample[2], counts(0.25), 1);
  EXPECT_NEAR(sample[3] << 16 | sample[4] << 8 | sample[5], counts(0.5), 1);
  EXPECT_EQ(chip_.read(0x06), 1);
  chip_.pass_milliseconds(1000);
  EXPECT_GT(chip_.read(0x05), 0);  // Samples were lost.
}

TEST_F(Max30102Test, InterruptsWhenTheFifoIsAlmostFull) {
  probe();
  EXPECT_FALSE(chip_.waits());
  chip_.write(0x02, 0x80);
  chip_.read(0x00);
  chip_.pass_milliseconds(160);
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.pass_milliseconds(20);
  EXPECT_FALSE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x00) & 0x80, 0x80);
  EXPECT_TRUE(chip_.interrupt_high());
}

TEST_F(Max30102Test, MeasuresItsTemperature) {
  probe();
  chip_.world.set(Quantity::kTemperature, 273.15 - 3.25);
  chip_.write(0x03, 0x02);
  chip_.write(0x21, 0x01);
  chip_.pass_milliseconds(28);
  EXPECT_EQ(chip_.read(0x21), 1);
  chip_.pass_milliseconds(2);
  EXPECT_FALSE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x21), 0);
  const double celsius = static_cast<std::int8_t>(chip_.read(0x1F)) + chip_.read(0x20) / 16.0;
  EXPECT_NEAR(celsius, -3.25, 1.0 / 16);
  EXPECT_TRUE(chip_.interrupt_high());
}

TEST_F(Max30102Test, ShutDownMeasuresNothing) {
  probe();
  chip_.update(0x09, 0x80, 0x80);
  const int before = chip_.read(0x04);
  chip_.pass_milliseconds(1000);
  EXPECT_EQ(chip_.read(0x04), before);
  chip_.write(0x09, 0x40);
  EXPECT_EQ(chip_.read(0x0C), 0);
}

TEST_F(Max30102Test, KeepsItsStateOverSaveAndRestore) {
  probe();
  chip_.write(0x02, 0x40);
  chip_.pass_milliseconds(51);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read(0x04), 5);
  EXPECT_TRUE(chip_.waits());
  const auto sample = chip_.read(0x07, 3);
  EXPECT_NEAR(sample[0] << 16 | sample[1] << 8 | sample[2], counts(0.2), 1);
}

}  // namespace
}  // namespace ensemble::device
