#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Vcnl4000Test : public testing::Test {
 protected:
  static constexpr std::uint8_t kLight = 0x10, kLightReady = 0x40;
  static constexpr std::uint8_t kProximity = 0x08, kProximityReady = 0x20;

  // As the driver does: it starts a measurement and asks up to 20 times, 20 ms apart.
  int measure(std::uint8_t start, std::uint8_t ready, std::uint8_t data) {
    chip_.write(0x80, start);
    for (int tries = 0; tries < 20; ++tries) {
      if ((chip_.read(0x80) & ready) != 0) {
        return chip_.read_word_high_first(data);
      }
      chip_.pass_milliseconds(20);
    }
    return -1;
  }
  int light() { return measure(kLight, kLightReady, 0x85); }
  int proximity() { return measure(kProximity, kProximityReady, 0x87); }

  ChipHarness chip_{"vcnl4000"};
};

TEST_F(Vcnl4000Test, HasTheIdentityThatTheDriverLooksFor) {
  EXPECT_EQ(chip_.read(0x81) >> 4, 1);
  chip_.write(0x81, 0x21);
  EXPECT_EQ(chip_.read(0x81) >> 4, 1);
}

TEST_F(Vcnl4000Test, MeasuresLightAsTheDriverConverts) {
  for (const double illuminance : {0.0, 0.5, 300.0, 16'000.0}) {
    chip_.world.set(Quantity::kIlluminance, illuminance);
    EXPECT_NEAR(light() * 0.25, illuminance, 0.125);
  }
  chip_.world.set(Quantity::kIlluminance, 90'000);
  EXPECT_EQ(light(), 0xFFFF);
}

TEST_F(Vcnl4000Test, CountsMoreOfWhatIsNearerAndBetterLit) {
  chip_.world.set(Quantity::kProximity, 0.05);
  EXPECT_EQ(proximity(), 2000);
  chip_.world.set(Quantity::kProximity, 0.1);
  EXPECT_EQ(proximity(), 500);
  chip_.write(0x83, 20);  // 200 mA, ten times as much.
  EXPECT_EQ(proximity(), 5000);
  chip_.write(0x83, 63);
  EXPECT_EQ(proximity(), 5000) << "there is no more than 200 mA";
  chip_.write(0x83, 0);
  EXPECT_EQ(proximity(), 0);
}

TEST_F(Vcnl4000Test, MeasuresOnlyWhenAskedAndTellsWhenItIsDone) {
  chip_.pass_milliseconds(1000);
  EXPECT_EQ(chip_.read(0x80), 0x80);
  chip_.world.set(Quantity::kIlluminance, 100);
  chip_.write(0x80, kLight | kProximity);
  EXPECT_EQ(chip_.read(0x80), 0x80 | kLight | kProximity);
  chip_.pass_milliseconds(50);
  EXPECT_EQ(chip_.read(0x80), 0x80 | kLight | kProximityReady);
  chip_.write(0x80, kLight);  // Runs already: it is not put off.
  chip_.pass_milliseconds(50);
  EXPECT_EQ(chip_.read(0x80), 0x80 | kLightReady | kProximityReady);
  chip_.world.set(Quantity::kIlluminance, 200);
  EXPECT_EQ(chip_.read_word_high_first(0x85), 400);
  EXPECT_EQ(chip_.read(0x80), 0x80 | kProximityReady);
  chip_.write(0x80, kProximity);
  EXPECT_EQ(chip_.read(0x80), 0x80 | kProximity) << "an old result is not taken for a new one";
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Vcnl4000Test, SavedState) {
  chip_.world.set(Quantity::kIlluminance, 100);
  chip_.write(0x83, 5);
  chip_.write(0x80, kLight);
  chip_.pass_milliseconds(60);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read(0x83), 5);
  EXPECT_EQ(chip_.read(0x80), 0x80 | kLight);
  chip_.pass_milliseconds(40);
  EXPECT_EQ(chip_.read(0x80), 0x80 | kLightReady);
  EXPECT_EQ(chip_.read_word_high_first(0x85), 400);
}

}  // namespace
}  // namespace ensemble::device
