#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

// As Linux's max17042_battery converts, with its default sense resistor, in µV, µA and µAh.
double microvolts(std::uint16_t word) {
  return word * 625.0 / 8;
}
double microamperes(std::uint16_t word) {
  return static_cast<std::int16_t>(word) * 1562500.0 / 10000;
}
double microampere_hours(std::uint16_t word) {
  return word * 5000000.0 / 10000;
}

class Max17047Test : public testing::Test {
 protected:
  Max17047Test() {
    chip_.world.set(Quantity::kBatteryLevel, 0.655);
    chip_.world.set(Quantity::kBatteryVoltage, 3.912);
    chip_.world.set(Quantity::kBatteryCurrent, -0.4);
    chip_.world.set(Quantity::kBatteryTemperature, 273.15 - 4.5);
    chip_.pass_milliseconds(200);
  }

  // 4600 mAh.
  ChipHarness chip_{"max17047", {.tag = {}, .full_charge = 4.6 * 3600, .empty_voltage = 3.0}};
};

TEST_F(Max17047Test, IsWhatTheDriverLooksFor) {
  EXPECT_EQ(chip_.read_word(0x21), 0x00AC);
  EXPECT_NE(chip_.read_word(0x2B) & 3, 3);       // Current is measured.
  EXPECT_EQ(chip_.read_word(0x00) & 0x000A, 0);  // Present, and set up.
}

TEST_F(Max17047Test, MeasuresTheWorldAsTheDriverConverts) {
  EXPECT_EQ(chip_.read_word(0x06) >> 8, 65);
  EXPECT_NEAR(microvolts(chip_.read_word(0x09)), 3'912'000, 80);
  EXPECT_NEAR(microvolts(chip_.read_word(0x19)), 3'912'000, 80);
  EXPECT_NEAR(microamperes(chip_.read_word(0x0A)), -400'000, 160);
  EXPECT_NEAR(microamperes(chip_.read_word(0x0B)), -400'000, 160);
  EXPECT_NEAR(chip_.read_signed(0x08) / 256.0, -4.5, 1.0 / 256);
  EXPECT_NEAR(microampere_hours(chip_.read_word(0x18)), 4'600'000, 500);
  EXPECT_NEAR(microampere_hours(chip_.read_word(0x10)), 4'600'000, 500);
  EXPECT_NEAR(microampere_hours(chip_.read_word(0x05)), 0.655 * 4'600'000, 500);
  EXPECT_NEAR(chip_.read_word(0x11) * 5.625, 0.655 * 4.6 / 0.4 * 3600, 10);
  EXPECT_EQ((chip_.read_word(0x3A) >> 7) * 10, 3000);
}

TEST_F(Max17047Test, SaysNothingOfTheTimeToEmptyWhileCharging) {
  chip_.world.set(Quantity::kBatteryCurrent, 1);
  EXPECT_EQ(chip_.read_word(0x11), 0xFFFF);
}

TEST_F(Max17047Test, KeepsExtremesAndCountsCharge) {
  chip_.read_word(0x09);  // Before the world changes, past included.
  chip_.world.set(Quantity::kBatteryVoltage, 3.5);
  chip_.world.set(Quantity::kBatteryLevel, 0.555);
  chip_.pass_milliseconds(400);
  const std::uint16_t extremes = chip_.read_word(0x1B);
  EXPECT_NEAR((extremes & 0xFF) * 20, 3500, 10);
  EXPECT_GE((extremes >> 8) * 20, 3900);
  EXPECT_NEAR(static_cast<std::int16_t>(chip_.read_word(0x4D)) * 0.5, (0.555 - 0.8) * 4600,
              1);  // Since the world began, at 80 %.
}

TEST_F(Max17047Test, AlertsWhenTheChargeLeavesItsThresholds) {
  EXPECT_FALSE(chip_.waits());
  EXPECT_TRUE(chip_.interrupt_high() || chip_.falling_edges() == 0);
  chip_.write_word(0x03, 66 << 8 | 64);
  chip_.write_word(0x1D, static_cast<std::uint16_t>(chip_.read_word(0x1D) | 4));
  EXPECT_TRUE(chip_.waits());
  chip_.pass_milliseconds(1000);
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.world.set(Quantity::kBatteryLevel, 0.63);
  chip_.pass_milliseconds(200);
  EXPECT_FALSE(chip_.interrupt_high());
  const std::uint16_t status = chip_.read_word(0x00);
  EXPECT_EQ(status & 0x7700, 1 << 10);
  // As the driver's handler does: new thresholds, then all alerts cleared.
  chip_.write_word(0x03, 64 << 8 | 62);
  chip_.write_word(0x00, status & 0x000A);
  EXPECT_TRUE(chip_.interrupt_high());
}

TEST_F(Max17047Test, ModelIsHiddenUntilUnlocked) {
  chip_.write_word(0x62, 0x59);
  chip_.write_word(0x63, 0xC4);
  chip_.write(0x80, {0x34, 0x12, 0x78, 0x56});
  EXPECT_EQ(chip_.read_word(0x80), 0x1234);
  EXPECT_EQ(chip_.read(0x80, 4), (std::vector<std::uint8_t>{0x34, 0x12, 0x78, 0x56}));
  chip_.write_word(0x62, 0);
  EXPECT_EQ(chip_.read_word(0x80), 0);
}

TEST_F(Max17047Test, KeepsItsStateOverSaveAndRestore) {
  chip_.write_word(0x02, 0x5000);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read_word(0x02), 0x5000);
  EXPECT_NEAR(microvolts(chip_.read_word(0x09)), 3'912'000, 80);
}

}  // namespace
}  // namespace ensemble::device
