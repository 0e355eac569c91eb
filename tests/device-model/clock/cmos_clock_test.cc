#include "device-model/clock/cmos_clock.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace ensemble::device {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// 2026-11-23 21:45:58 UTC, a Monday, and a quarter of a second.
constexpr std::int64_t kStart = 1'795'470'358 * kSecond + kSecond / 4;

// A clock on a test bench, and the ports as a driver uses them.
class CmosClockTest : public ::testing::Test, public ClockHost {
 protected:
  std::int64_t real_time() const override { return now_; }
  void interrupt() override { ++interrupts_; }
  void wake_after(std::optional<std::int64_t> delay) override {
    wake_ = delay ? std::optional(now_ + *delay) : std::nullopt;
  }

  void pass(std::int64_t nanoseconds) {
    const std::int64_t end = now_ + nanoseconds;
    while (wake_ && *wake_ <= end) {
      now_ = *wake_;
      wake_.reset();
      ++wakes_;
      clock_->wake();
    }
    now_ = end;
  }
  int get(std::uint8_t index) {
    std::byte value{index};
    clock_->write(0, {&value, 1});
    value = std::byte{0xFF};
    clock_->read(1, {&value, 1});
    return std::to_integer<int>(value);
  }
  void set(std::uint8_t index, int number) {
    std::byte value{index};
    clock_->write(0, {&value, 1});
    value = static_cast<std::byte>(number);
    clock_->write(1, {&value, 1});
  }
  std::vector<int> shown() {  // Century, year, month, day, weekday, hour, minute, second.
    std::vector<int> values;
    for (const std::uint8_t index :
         std::initializer_list<std::uint8_t>{0x32, 9, 8, 7, 6, 4, 2, 0}) {
      values.push_back(get(index));
    }
    return values;
  }

  std::int64_t now_ = kStart;
  std::optional<std::int64_t> wake_;
  int interrupts_ = 0;
  int wakes_ = 0;
  std::unique_ptr<CmosClock> clock_ = std::make_unique<CmosClock>(*this);
};

TEST_F(CmosClockTest, ShowsTheHostsTimeInDecimalDigits) {
  EXPECT_EQ(shown(), (std::vector{0x20, 0x26, 0x11, 0x23, 2, 0x21, 0x45, 0x58}));
  pass(kSecond * 3 / 4 - 1);
  EXPECT_EQ(get(0), 0x58);
  pass(1 + kSecond);
  EXPECT_EQ(shown(), (std::vector{0x20, 0x26, 0x11, 0x23, 2, 0x21, 0x46, 0x00}));
  EXPECT_EQ(get(0x0D), 0x80) << "the battery is good";
  EXPECT_EQ(wakes_, 0);
}

TEST_F(CmosClockTest, ShowsItInBinaryAndInTwelveHours) {
  set(0x0B, 0x06);
  EXPECT_EQ(shown(), (std::vector{20, 26, 11, 23, 2, 21, 45, 58}));
  set(0x0B, 0x04);
  EXPECT_EQ(get(4), 0x89) << "nine in the afternoon";
  set(0x0B, 0x00);
  EXPECT_EQ(get(4), 0x89);
  pass(kSecond * 3600 * 3);
  EXPECT_EQ(get(4), 0x12) << "midnight";
  pass(kSecond * 3600 * 12);
  EXPECT_EQ(get(4), 0x92) << "noon";
}

TEST_F(CmosClockTest, AnnouncesAnUpdate) {
  EXPECT_EQ(get(0x0A), 0x26);
  pass(kSecond * 3 / 4 - 200'000);
  EXPECT_EQ(get(0x0A), 0xA6);
  pass(200'000);
  EXPECT_EQ(get(0x0A), 0x26);
}

TEST_F(CmosClockTest, GoesOnFromTheTimeThatADriverSets) {
  set(0x0B, 0x82);
  set(0x0A, 0x76);  // The divider is held, as Linux does it.
  for (const auto& [index, value] : std::initializer_list<std::pair<std::uint8_t, int>>{
           {0x32, 0x19}, {9, 0x99}, {8, 0x12}, {7, 0x31}, {4, 0x23}, {2, 0x59}, {0, 0x59}}) {
    set(index, value);
  }
  pass(kSecond * 5);
  EXPECT_EQ(get(0), 0x59) << "it stands";
  set(0x0B, 0x02);
  EXPECT_EQ(get(0), 0x59);
  set(0x0A, 0x26);
  pass(kSecond / 2 - 1);
  EXPECT_EQ(shown(), (std::vector{0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59}));
  pass(1);
  EXPECT_EQ(shown(), (std::vector{0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00}));
}

TEST_F(CmosClockTest, TakesTheNearestDateOfWhatIsNone) {
  set(0x0B, 0x06);
  set(0x0B, 0x86);
  set(8, 2);
  set(7, 31);
  set(2, 200);
  set(0x0B, 0x06);
  EXPECT_EQ(get(7), 28);
  EXPECT_EQ(get(8), 2);
  EXPECT_EQ(get(2), 59);
}

TEST_F(CmosClockTest, InterruptsAtTheAlarmOnceUntilItIsAnswered) {
  set(5, 0x21);
  set(3, 0x46);
  set(1, 0x10);
  set(0x0B, 0x22);
  pass(kSecond * 11);
  EXPECT_EQ(interrupts_, 0);
  pass(kSecond);
  EXPECT_EQ(interrupts_, 1);
  EXPECT_EQ(get(0x0C) & 0xA0, 0xA0);
  EXPECT_EQ(get(0x0C), 0);
  pass(kSecond * 86400 - kSecond);
  EXPECT_EQ(interrupts_, 1);
  pass(kSecond);
  EXPECT_EQ(interrupts_, 2);
  EXPECT_EQ(wakes_, 2);
}

TEST_F(CmosClockTest, AlarmsEachMinuteWhereHourAndMinuteAreAny) {
  set(5, 0xC0);
  set(3, 0xFF);
  set(1, 0x30);
  set(0x0B, 0x22);
  for (int minute = 1; minute <= 3; ++minute) {
    pass(kSecond * 60);
    EXPECT_EQ(interrupts_, minute);
    get(0x0C);
  }
}

TEST_F(CmosClockTest, ToleratesAnAlarmThatNeverComes) {
  set(5, 0x25);
  set(0x0B, 0x22);
  EXPECT_FALSE(wake_.has_value());
  pass(kSecond * 86400 * 2);
  EXPECT_EQ(get(0x0C) & 0x20, 0);
}

// Each access looks for the next alarm; a guest could keep its device lock by one that is not
// there.
TEST_F(CmosClockTest, LooksAtNoSecondForAnAlarmThatCannotBe) {
  set(0x01, 0x7F);
  set(0x03, 0xFF);
  set(0x05, 0xFF);
  set(0x0B, 0x22);
  for (int i = 0; i < 300'000; ++i) {
    get(0x00);
  }
  EXPECT_FALSE(wake_);
}

TEST_F(CmosClockTest, InterruptsEachSecondAndPeriodically) {
  set(0x0B, 0x12);
  pass(kSecond);
  EXPECT_EQ(interrupts_, 1);
  pass(kSecond * 5);
  EXPECT_EQ(interrupts_, 1) << "the first one was not answered";
  EXPECT_EQ(get(0x0C) & 0x90, 0x90);
  set(0x0B, 0x02);
  set(0x0A, 0x2A);  // 64 Hz.
  set(0x0B, 0x42);
  get(0x0C);
  const int before = interrupts_;
  for (int i = 0; i < 64; ++i) {
    pass(kSecond / 64);
    get(0x0C);
  }
  EXPECT_EQ(interrupts_ - before, 64);
}

TEST_F(CmosClockTest, DoesNothingForAGuestThatDoesNotAnswer) {
  set(0x0A, 0x23);  // 8192 Hz.
  set(0x0B, 0x72);
  pass(kSecond * 100);
  EXPECT_EQ(interrupts_, 1);
  EXPECT_EQ(wakes_, 1);
}

TEST_F(CmosClockTest, KeepsBytesAndIgnoresOddAccesses) {
  set(0x7F, 0xA5);
  set(0x40, 0x5A);
  EXPECT_EQ(get(0x7F), 0xA5);
  EXPECT_EQ(get(0xFF), 0xA5) << "the highest bit of the index is another device's";
  EXPECT_EQ(get(0x40), 0x5A);
  set(0x0D, 0);
  EXPECT_EQ(get(0x0D), 0x80);
  std::byte word[2] = {std::byte{0xFF}, std::byte{0xFF}};
  clock_->read(0, word);
  EXPECT_EQ(word[1], std::byte{0xFF});
  clock_->read(0, {word, 1});
  EXPECT_EQ(word[0], std::byte{0xFF}) << "the index cannot be read";
}

TEST_F(CmosClockTest, IsRestoredWithWhatWasSetAndTheTimeThatHasPassed) {
  set(0x50, 0x77);
  set(0x0B, 0x82);
  set(4, 0x03);
  set(0x0B, 0x22);
  set(5, 0xC0);
  set(3, 0xC0);
  set(1, 0x00);
  vmm::StateWriter writer;
  ASSERT_TRUE(clock_->save(writer));
  const auto bytes = writer.data();
  clock_ = std::make_unique<CmosClock>(*this);
  wake_.reset();
  vmm::StateReader reader(bytes);
  ASSERT_TRUE(clock_->restore(reader, 1));
  EXPECT_EQ(get(0x50), 0x77);
  pass(kSecond * 3);
  EXPECT_EQ(get(4), 0x03);
  EXPECT_EQ(get(2), 0x46);
  EXPECT_EQ(interrupts_, 1);
}

TEST_F(CmosClockTest, IsRestoredWithTheFurthestTimesThatCanBeSet) {
  for (const int century : {0x00, 0x11, 0x99}) {
    set(0x32, century);
    const std::vector<int> set_to = shown();
    for (const std::int64_t later : {kSecond / 2, kSecond * 1'200'000'000}) {
      now_ = kStart + later;
      vmm::StateWriter writer;
      ASSERT_TRUE(clock_->save(writer));
      vmm::StateReader reader(writer.data());
      const auto restored = clock_->restore(reader, 1);
      ASSERT_TRUE(restored) << restored.error().message();
    }
    now_ = kStart;
    EXPECT_EQ(shown(), set_to) << std::hex << century;
  }
}

TEST_F(CmosClockTest, StandsWhereItsTimeEnds) {
  set(0x32, 0x99);
  set(0x0B, 0x72);  // All interrupts.
  now_ = INT64_MAX;
  clock_->wake();
  EXPECT_EQ(shown()[1], 0x55);
  const std::vector<int> end = shown();
  now_ = INT64_MAX - 1;
  EXPECT_EQ(shown(), end);
}

}  // namespace
}  // namespace ensemble::device
