#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Bq24190Test : public testing::Test {
 protected:
  void plug_in() { chip_.world.set(Quantity::kSupplyVoltage, 5); }
  // What the driver's probe does: part, reset, watchdog off.
  void probe() {
    ASSERT_EQ(chip_.read(0x0A) >> 3 & 7, 4);
    chip_.update(0x01, 0x80, 0x80);
    ASSERT_EQ(chip_.read(0x01) & 0x80, 0);
    chip_.update(0x05, 0x30, 0x00);
  }
  int charge_status() { return chip_.read(0x08) >> 4 & 3; }

  ChipHarness chip_{"bq24190"};
};

TEST_F(Bq24190Test, TellsWhetherItChargesAsTheWorldHasIt) {
  probe();
  EXPECT_EQ(chip_.read(0x08), 0);
  plug_in();
  chip_.world.set(Quantity::kBatteryCurrent, 1.5);
  EXPECT_EQ(chip_.read(0x08), 2 << 6 | 2 << 4 | 1 << 2);
  chip_.world.set(Quantity::kBatteryVoltage, 2.5);
  EXPECT_EQ(charge_status(), 1);
  chip_.world.set(Quantity::kBatteryVoltage, 4.2);
  chip_.world.set(Quantity::kBatteryCurrent, 0.05);
  EXPECT_EQ(charge_status(), 3);
  chip_.update(0x01, 0x30, 0x00);
  EXPECT_EQ(charge_status(), 0);
}

TEST_F(Bq24190Test, HasTheDefaultsThatTheDriverConverts) {
  probe();
  EXPECT_EQ(512 + 64 * (chip_.read(0x02) >> 2), 2048);   // mA
  EXPECT_EQ(3504 + 16 * (chip_.read(0x04) >> 2), 4208);  // mV
  chip_.update(0x02, 0xFC, 12 << 2);
  EXPECT_EQ(chip_.read(0x02) >> 2, 12);
  chip_.write(0x0A, 0xFF);
  EXPECT_EQ(chip_.read(0x0A), 0x23);
}

TEST_F(Bq24190Test, PulsesWhenSomethingIsPluggedIn) {
  probe();
  EXPECT_TRUE(chip_.interrupt_high());
  const unsigned edges = chip_.falling_edges();
  chip_.pass_milliseconds(2000);
  EXPECT_EQ(chip_.falling_edges(), edges);
  plug_in();
  chip_.pass_milliseconds(1000);
  EXPECT_EQ(chip_.falling_edges(), edges + 1);
  EXPECT_TRUE(chip_.interrupt_high());
  chip_.update(0x07, 0x03, 0x00);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Bq24190Test, NothingRunsForADriverThatOnlyReads) {
  chip_.read(0x08);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Bq24190Test, WatchdogBringsDefaultsBack) {
  chip_.update(0x02, 0xFC, 0);
  chip_.pass_milliseconds(30'000);
  chip_.update(0x01, 0x40, 0x40);  // In time.
  chip_.pass_milliseconds(30'000);
  EXPECT_EQ(chip_.read(0x02), 0);
  chip_.pass_milliseconds(11'000);
  EXPECT_EQ(chip_.read(0x02), 0x60);
  EXPECT_EQ(chip_.read(0x09) & 0x80, 0x80);
  EXPECT_EQ(chip_.read(0x09) & 0x80, 0);  // Latched once.
}

TEST_F(Bq24190Test, TellsAHotAndAColdBattery) {
  probe();
  chip_.world.set(Quantity::kBatteryTemperature, 273.15 + 65);
  EXPECT_EQ(chip_.read(0x09) & 7, 6);
  chip_.world.set(Quantity::kBatteryTemperature, 273.15 - 5);
  EXPECT_EQ(chip_.read(0x09) & 7, 5);
}

TEST_F(Bq24190Test, KeepsItsStateOverSaveAndRestore) {
  probe();
  plug_in();
  chip_.update(0x04, 0xFC, 0x80);
  chip_.save_and_restore();
  EXPECT_EQ(chip_.read(0x04) & 0xFC, 0x80);
  EXPECT_EQ(chip_.read(0x05) & 0x30, 0);
  EXPECT_TRUE(chip_.waits());
}

}  // namespace
}  // namespace ensemble::device
