#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

class Lps22hbTest : public testing::Test {
 protected:
  void probe() { ASSERT_EQ(chip_.read(0x0F), 0xB1); }
  void set_rate(std::uint8_t code) {
    chip_.update(0x10, 0x70, static_cast<std::uint8_t>(code << 4));
  }
  // As Linux's st_pressure converts, in Pa and °C.
  double pressure() {
    const auto data = chip_.read(0x28, 3);
    return (data[0] | data[1] << 8 | data[2] << 16) / 4096.0 * 100;
  }
  double temperature() { return chip_.read_signed(0x2B) / 100.0; }

  ChipHarness chip_{"lps22hb"};
};

TEST_F(Lps22hbTest, MeasuresTheWorldAsTheDriverConverts) {
  probe();
  set_rate(1);
  for (const auto& [pascals, celsius] :
       {std::pair(101325.0, 25.0), std::pair(30000.0, -20.5), std::pair(126000.0, 60.0)}) {
    chip_.world.set(Quantity::kPressure, pascals);
    chip_.world.set(Quantity::kTemperature, 273.15 + celsius);
    chip_.pass_milliseconds(1001);
    EXPECT_EQ(chip_.read(0x27) & 3, 3);
    EXPECT_NEAR(pressure(), pascals, 0.025);
    EXPECT_NEAR(temperature(), celsius, 0.01);
    EXPECT_EQ(chip_.read(0x27), 0);
  }
}

TEST_F(Lps22hbTest, PowerDownFreezesAndOneShotMeasuresOnce) {
  set_rate(5);
  chip_.pass_milliseconds(20);
  set_rate(0);
  chip_.world.set(Quantity::kPressure, 90000);
  chip_.pass_milliseconds(1000);
  EXPECT_NEAR(pressure(), 101325, 0.025);
  chip_.update(0x11, 0x01, 0x01);
  EXPECT_EQ(chip_.read(0x11) & 1, 1);
  chip_.pass_milliseconds(20);
  EXPECT_EQ(chip_.read(0x11) & 1, 0);
  EXPECT_NEAR(pressure(), 90000, 0.025);
  EXPECT_FALSE(chip_.waits());
}

TEST_F(Lps22hbTest, DataReadyInterruptsAtTheRate) {
  set_rate(3);  // 25 Hz.
  EXPECT_FALSE(chip_.waits());
  chip_.update(0x12, 0x04, 0x04);
  const unsigned edges = chip_.rising_edges();
  chip_.pass_milliseconds(401);
  EXPECT_EQ(chip_.rising_edges() - edges, 10U);
  EXPECT_EQ(chip_.read(0x27), 0x33);  // Overrun.
  chip_.read(0x28, 5);
  EXPECT_FALSE(chip_.interrupt_high());
  chip_.update(0x12, 0x80, 0x80);
  EXPECT_TRUE(chip_.interrupt_high());
}

TEST_F(Lps22hbTest, FifoHoldsSamplesOfElapsedTime) {
  chip_.write(0x14, 6 << 5 | 4);
  chip_.update(0x11, 0x40, 0x40);
  set_rate(2);
  chip_.pass_milliseconds(301);
  EXPECT_EQ(chip_.read(0x26), 3);
  chip_.pass_milliseconds(100);
  EXPECT_EQ(chip_.read(0x26), 0x80 | 4);
  const auto data = chip_.read(0x28, 10);  // Two slots, in a circle.
  EXPECT_TRUE(std::equal(data.begin(), data.begin() + 5, data.begin() + 5));
  EXPECT_EQ(chip_.read(0x26), 2);
  chip_.pass_milliseconds(60'000);
  EXPECT_EQ(chip_.read(0x26), 0xC0 | 32);
}

TEST_F(Lps22hbTest, SoftResetAndSavedState) {
  set_rate(4);
  chip_.update(0x12, 0x04, 0x04);
  chip_.pass_milliseconds(21);
  chip_.save_and_restore();
  EXPECT_TRUE(chip_.waits());
  EXPECT_NEAR(pressure(), 101325, 0.025);
  chip_.write(0x11, 0x14);
  EXPECT_EQ(chip_.read(0x11), 0x10);
  EXPECT_EQ(chip_.read(0x10), 0x00);
  EXPECT_FALSE(chip_.waits());
}

}  // namespace
}  // namespace ensemble::device
