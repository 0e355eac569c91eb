#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Stk3310Test : public testing::Test {
 protected:
  void probe() {
    ASSERT_EQ(chip_.read(0x3E), 0x13);
    chip_.update(0x00, 0x07, 0x03);
    chip_.update(0x04, 0x07, 0x01);
  }
  // Raw value times the scale that the driver reads off the gain.
  double lux() {
    constexpr double kScales[] = {6.4, 1.6, 0.4, 0.1};
    return chip_.read_word_high_first(0x13) * kScales[chip_.read(0x02) >> 4 & 3];
  }
  int proximity() { return chip_.read_word_high_first(0x11); }

  ChipHarness chip_{"stk3310"};
};

TEST_F(Stk3310Test, MeasuresLightAsTheDriverConverts) {
  probe();
  for (const double illuminance : {0.0, 0.7, 300.0, 6000.0}) {
    chip_.world.set(Quantity::kIlluminance, illuminance);
    chip_.pass_milliseconds(100);
    EXPECT_NEAR(lux(), illuminance, 0.1);
  }
  chip_.update(0x02, 0x30, 0x00);
  chip_.world.set(Quantity::kIlluminance, 90'000);
  chip_.pass_milliseconds(100);
  EXPECT_NEAR(lux(), 90'000, 6.4);
}

TEST_F(Stk3310Test, IntegrationTimeIsHowLongASampleTakes) {
  probe();
  chip_.update(0x02, 0x0F, 0x0D);  // 1.5 s.
  chip_.world.set(Quantity::kIlluminance, 10);
  chip_.pass_milliseconds(1000);
  EXPECT_EQ(chip_.read(0x10) & 0x80, 0);
  chip_.pass_milliseconds(520);
  EXPECT_EQ(chip_.read(0x10) & 0x80, 0x80);
  EXPECT_NEAR(chip_.read_word_high_first(0x13), 10 / 0.1 * 16, 1);
}

TEST_F(Stk3310Test, StandbyFreezesValues) {
  probe();
  chip_.pass_milliseconds(100);
  chip_.update(0x00, 0x07, 0x00);
  chip_.world.set(Quantity::kIlluminance, 5);
  chip_.pass_milliseconds(1000);
  EXPECT_NEAR(lux(), 300, 0.1);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Stk3310Test, NobodyWakesForThresholdsThatNothingCrosses) {
  probe();
  chip_.update(0x04, 0x0F, 0x09);
  EXPECT_FALSE(chip_.waits());
  chip_.write(0x06, {0x01, 0xF4});
  EXPECT_TRUE(chip_.waits());
}

TEST_F(Stk3310Test, InterruptsWhenThingsComeAndGo) {
  probe();
  chip_.write(0x06, {0x01, 0xF4});  // 500.
  chip_.write(0x08, {0x00, 0x64});  // 100.
  EXPECT_TRUE(chip_.waits());
  chip_.pass_milliseconds(20);
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.world.set(Quantity::kProximity, 0.05);
  chip_.pass_milliseconds(20);
  EXPECT_NEAR(proximity(), 1000, 1);
  EXPECT_FALSE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x10) & 1, 0);  // Near.
  chip_.update(0x10, 0x10, 0x00);
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.pass_milliseconds(200);
  EXPECT_TRUE(chip_.interrupt_high());  // It stays, which is no news.
  chip_.world.set(Quantity::kProximity, 0.5);
  chip_.pass_milliseconds(20);
  EXPECT_FALSE(chip_.interrupt_high());
  EXPECT_EQ(chip_.read(0x10) & 1, 1);
}

TEST_F(Stk3310Test, SoftResetAndSavedState) {
  probe();
  chip_.write(0x06, {0x12, 0x34});
  chip_.pass_milliseconds(100);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read_word_high_first(0x06), 0x1234);
  EXPECT_NEAR(lux(), 300, 0.1);
  EXPECT_TRUE(chip_.waits());
  chip_.write(0x80, 0x01);
  EXPECT_EQ(chip_.read_word_high_first(0x06), 0xFFFF);
  EXPECT_EQ(chip_.read(0x00), 0);
  EXPECT_FALSE(chip_.waits());
}

}  // namespace
}  // namespace ensemble::device
