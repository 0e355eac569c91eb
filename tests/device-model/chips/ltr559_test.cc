#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Ltr559Test : public testing::Test {
 protected:
  void probe() {
    ASSERT_EQ(chip_.read(0x86) >> 4, 9);
    chip_.write(0x80, static_cast<std::uint8_t>(chip_.read(0x80) | 1));
    chip_.write(0x81, static_cast<std::uint8_t>(chip_.read(0x81) | 2));
  }

  // As the driver computes for the ratios of light that it knows.
  int lux() {
    EXPECT_EQ(chip_.read(0x8C) & 4, 4);
    const auto data = chip_.read(0x88, 4);
    const int infrared = data[0] | data[1] << 8;
    const int visible = data[2] | data[3] << 8;
    if (visible == 0) {
      return 0;
    }
    EXPECT_LT(infrared * 100 / (infrared + visible), 45);
    return (1774 * visible + 1105 * infrared) / 1000;
  }
  int proximity() {
    EXPECT_EQ(chip_.read(0x8C) & 1, 1);
    return chip_.read_word(0x8D);
  }

  ChipHarness chip_{"ltr559"};
};

TEST_F(Ltr559Test, MeasuresLightAsTheDriverConverts) {
  probe();
  for (const double illuminance : {0.0, 12.0, 300.0, 25000.0}) {
    chip_.world.set(Quantity::kIlluminance, illuminance);
    chip_.pass_milliseconds(501);
    EXPECT_NEAR(lux(), illuminance, 3);
  }
}

TEST_F(Ltr559Test, GainAndExposureScale) {
  probe();
  chip_.pass_milliseconds(501);
  const int counts = chip_.read_word(0x8A);
  chip_.write(0x80, 0x01 | 3 << 2);  // Eightfold.
  chip_.write(0x85, 0x03 | 2 << 3);  // 200 ms.
  chip_.pass_milliseconds(501);
  EXPECT_NEAR(chip_.read_word(0x8A), counts * 16, 16);
}

TEST_F(Ltr559Test, ProximityGrowsAsThingsComeNear) {
  probe();
  chip_.pass_milliseconds(101);
  const int far = proximity();
  chip_.world.set(Quantity::kProximity, 0.05);
  chip_.pass_milliseconds(101);
  const int near = proximity();
  EXPECT_GT(near, far);
  EXPECT_NEAR(near, 2047 * 0.02 * 0.02 / 0.05 / 0.05, 1);
  chip_.world.set(Quantity::kProximity, 0.001);
  chip_.pass_milliseconds(101);
  EXPECT_EQ(proximity(), 2047);
}

TEST_F(Ltr559Test, ReadyIsClearedByReadingTheData) {
  probe();
  chip_.pass_milliseconds(501);
  chip_.read(0x88, 4);
  EXPECT_EQ(chip_.read(0x8C) & 4, 0);
  chip_.write(0x80, 0);  // Standby.
  chip_.pass_milliseconds(5000);
  EXPECT_EQ(chip_.read(0x8C) & 4, 0);
}

TEST_F(Ltr559Test, InterruptsOutsideOfThresholds) {
  probe();
  EXPECT_FALSE(chip_.waits());
  chip_.write_word(0x90, 300);
  chip_.write(0x9E, 0x10);  // Two in a row.
  chip_.update(0x8F, 1, 1);
  EXPECT_TRUE(chip_.waits());
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.world.set(Quantity::kProximity, 0.04);
  chip_.pass_milliseconds(101);
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.pass_milliseconds(100);
  EXPECT_FALSE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x8C) & 2, 2);
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.update(0x8F, 1, 0);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Ltr559Test, SoftResetStops) {
  probe();
  chip_.write(0x84, 0x05);
  chip_.write(0x80, 0x02);
  EXPECT_EQ(chip_.read(0x80), 0);
  EXPECT_EQ(chip_.read(0x84), 0x02);
}

TEST_F(Ltr559Test, KeepsItsStateOverSaveAndRestore) {
  probe();
  chip_.pass_milliseconds(501);
  chip_.save_and_restore();
  EXPECT_NEAR(lux(), 300, 3);
  chip_.world.set(Quantity::kIlluminance, 100);
  chip_.pass_milliseconds(501);
  EXPECT_NEAR(lux(), 100, 3);
}

}  // namespace
}  // namespace ensemble::device
