#include "tests/device-model/chips/chip_harness.h"

namespace ensemble::device {
namespace {

// The compensation of the data sheet in whole numbers, as drivers compute it, from the trim words
// that the chip has.
class Compensation {
 public:
  explicit Compensation(const std::vector<std::uint8_t>& trim) : trim_(trim) {}

  // Hundredths of a degree Celsius.
  std::int64_t temperature(std::int64_t raw) {
    const std::int64_t difference = raw - (std::int64_t{unsigned_word(0)} << 8);
    const std::int64_t linear = difference * unsigned_word(2);
    const std::int64_t square = difference * difference * signed_byte(4);
    fine_ = ((linear << 18) + square) >> 32;
    return fine_ * 25 >> 14;
  }

  // Hundredths of a pascal; after `temperature`.
  std::int64_t pressure(std::int64_t raw) const {
    const std::int64_t t1 = fine_;
    const std::int64_t t2 = t1 * t1;
    const std::int64_t t3 = (t2 >> 6) * t1 >> 8;
    const std::int64_t offset = (std::int64_t{unsigned_word(11)} << 47) +
                                (signed_byte(10) * t3 >> 5) + (signed_byte(15) * t2 << 4) +
                                (std::int64_t{unsigned_word(13)} * t1 << 22);
    const std::int64_t slope = (std::int64_t{signed_word(5) - 16384} << 46) +
                               (signed_byte(10) * t3 >> 5) + (signed_byte(9) * t2 << 2) +
                               (std::int64_t{signed_word(7) - 16384} * t1 << 21);
    const std::int64_t first = (slope >> 24) * raw;
    const std::int64_t third = signed_byte(18) * t1 + (std::int64_t{signed_word(16)} << 16);
    const std::int64_t square = (third * raw >> 13) / 10 * raw >> 9;
    const std::int64_t cube = (signed_byte(20) * raw * raw >> 16) * raw >> 7;
    return static_cast<std::int64_t>(
        static_cast<std::uint64_t>((offset >> 2) + first + square * 10 + cube) * 25 >> 40);
  }

 private:
  std::uint16_t unsigned_word(std::size_t at) const {
    return static_cast<std::uint16_t>(trim_.at(at) | trim_.at(at + 1) << 8);
  }
  std::int16_t signed_word(std::size_t at) const {
    return static_cast<std::int16_t>(unsigned_word(at));
  }
  std::int64_t signed_byte(std::size_t at) const { return static_cast<std::int8_t>(trim_.at(at)); }

  std::vector<std::uint8_t> trim_;
  std::int64_t fine_ = 0;
};

class Bmp380Test : public testing::Test {
 protected:
  void probe() {
    ASSERT_EQ(chip_.read(0x00), 0x50);
    chip_.write(0x7E, 0xB6);
    ASSERT_EQ(chip_.read(0x02) & 2, 0);
    trim_ = chip_.read(0x31, 21);
    chip_.update(0x1C, 0x3F, 0x02);
    chip_.update(0x1D, 0x1F, 0x02);  // 50 Hz.
    chip_.update(0x1B, 0x33, 0x33);
    chip_.pass_milliseconds(25);
  }
  std::int64_t raw(std::uint8_t address) {
    const auto data = chip_.read(address, 3);
    return data[0] | data[1] << 8 | data[2] << 16;
  }
  void expect(double pascals, double celsius) {
    Compensation compensation(trim_);
    EXPECT_NEAR(static_cast<double>(compensation.temperature(raw(0x07))) / 100, celsius, 0.011);
    EXPECT_NEAR(static_cast<double>(compensation.pressure(raw(0x04))) / 100, pascals, 0.02);
  }

  ChipHarness chip_{"bmp380"};
  std::vector<std::uint8_t> trim_;
};

TEST_F(Bmp380Test, MeasuresTheWorldAsTheDriverCompensates) {
  probe();
  expect(101325, 25);
  for (const auto& [pascals, celsius] :
       {std::pair(30000.0, -40.0), std::pair(98765.43, 21.37), std::pair(125000.0, 85.0)}) {
    chip_.world.set(Quantity::kPressure, pascals);
    chip_.world.set(Quantity::kTemperature, 273.15 + celsius);
    chip_.pass_milliseconds(25);
    expect(pascals, celsius);
  }
}

// Drivers take this value for a measurement that was left out.
TEST_F(Bmp380Test, NoMeasurementLooksLikeOneThatWasSkipped) {
  probe();
  for (double celsius = 24.753; celsius < 24.7545; celsius += 0.00002) {
    chip_.world.set(Quantity::kTemperature, 273.15 + celsius);
    chip_.pass_milliseconds(25);
    EXPECT_NE(raw(0x07), 0x80'0000) << celsius;
  }
  chip_.world.set(Quantity::kPressure, 65536);
  chip_.pass_milliseconds(25);
  EXPECT_NE(raw(0x04), 0x80'0000);
}

TEST_F(Bmp380Test, SleepFreezesValuesAndForcedModeMeasuresOnce) {
  probe();
  chip_.update(0x1B, 0x30, 0x00);
  chip_.world.set(Quantity::kPressure, 90000);
  chip_.pass_milliseconds(1000);
  expect(101325, 25);
  chip_.update(0x1B, 0x30, 0x10);
  chip_.pass_milliseconds(6);
  EXPECT_EQ(chip_.read(0x03) & 0x60, 0x60);
  EXPECT_EQ(chip_.read(0x1B) & 0x30, 0);
  expect(90000, 25);
  EXPECT_EQ(chip_.read(0x03) & 0x60, 0);
}

TEST_F(Bmp380Test, DataReadyInterruptsAtTheRate) {
  probe();
  EXPECT_FALSE(chip_.waits());
  chip_.update(0x19, 0x46, 0x42);
  const unsigned edges = chip_.rising_edges();
  chip_.read(0x11);
  chip_.pass_milliseconds(100);
  EXPECT_EQ(chip_.rising_edges() - edges, 5U);
  chip_.read(0x11);
  EXPECT_FALSE(chip_.interrupt_high());
}

TEST_F(Bmp380Test, FifoHoldsFramesOfElapsedTime) {
  probe();
  chip_.write(0x17, 0x19);
  chip_.pass_milliseconds(100);
  EXPECT_EQ(chip_.read_word(0x12), 5 * 7);
  EXPECT_EQ(chip_.read(0x14), 0x94);
  chip_.write(0x7E, 0xB0);
  EXPECT_EQ(chip_.read_word(0x12), 0);
  chip_.pass_milliseconds(10'000);
  EXPECT_EQ(chip_.read_word(0x12), 512 / 7 * 7);
}

TEST_F(Bmp380Test, TellsABadCommand) {
  probe();
  chip_.write(0x7E, 0x77);
  EXPECT_EQ(chip_.read(0x02) & 2, 2);
}

TEST_F(Bmp380Test, KeepsItsStateOverSaveAndRestore) {
  probe();
  chip_.save_and_restore();
  expect(101325, 25);
  chip_.world.set(Quantity::kPressure, 50000);
  chip_.pass_milliseconds(25);
  expect(50000, 25);
}

}  // namespace
}  // namespace ensemble::device
