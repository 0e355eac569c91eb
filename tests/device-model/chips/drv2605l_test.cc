#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Drv2605lTest : public testing::Test {
 protected:
  ChipHarness chip_{"drv2605l"};
};

TEST_F(Drv2605lTest, IsADrv2605lInStandby) {
  EXPECT_EQ(chip_.read(0x00) >> 5, 7);
  EXPECT_EQ(chip_.read(0x01), 0x40);
}

TEST_F(Drv2605lTest, CalibratesAsTheDriverAsksFor) {
  chip_.write(0x16, 0x50);
  chip_.write(0x1A, 0xB6);
  chip_.write(0x01, 0x07);
  chip_.write(0x0C, 0x01);
  EXPECT_EQ(chip_.read(0x0C), 1);
  chip_.pass_milliseconds(501);
  EXPECT_EQ(chip_.read(0x0C), 0);
  EXPECT_EQ(chip_.read(0x00) & 8, 0);
}

TEST_F(Drv2605lTest, GoStandsAsLongAsTheSequenceLasts) {
  chip_.write(0x01, 0x00);
  chip_.write(0x04, {0x01, 0x80 | 30, 0x02, 0x00, 0x03});
  chip_.write(0x0C, 0x01);
  chip_.pass_milliseconds(690);
  EXPECT_EQ(chip_.read(0x0C), 1);
  chip_.pass_milliseconds(20);
  EXPECT_EQ(chip_.read(0x0C), 0);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Drv2605lTest, StandbyPlaysNothingAndStops) {
  chip_.write(0x0C, 0x01);
  EXPECT_EQ(chip_.read(0x0C), 0);
  chip_.write(0x01, 0x00);
  chip_.write(0x0C, 0x01);
  EXPECT_EQ(chip_.read(0x0C), 1);
  chip_.write(0x01, 0x40);
  EXPECT_EQ(chip_.read(0x0C), 0);
}

TEST_F(Drv2605lTest, RealTimeValueResetAndBattery) {
  chip_.write(0x01, 0x05);
  chip_.write(0x02, 0x7F);
  EXPECT_EQ(chip_.read(0x02), 0x7F);
  EXPECT_NEAR(chip_.read(0x21) * 5.6 / 255, 3.85, 0.012);
  chip_.write(0x01, 0x80);
  EXPECT_EQ(chip_.read(0x02), 0);
  EXPECT_EQ(chip_.read(0x01), 0x40);
}

TEST_F(Drv2605lTest, KeepsItsStateOverSaveAndRestore) {
  chip_.write(0x01, 0x00);
  chip_.write(0x0C, 0x01);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read(0x0C), 1);
  chip_.pass_milliseconds(201);
  EXPECT_EQ(chip_.read(0x0C), 0);
}

}  // namespace
}  // namespace ensemble::device
