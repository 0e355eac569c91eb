#include "device-model/world/recorded_world.h"

#include <gtest/gtest.h>

#include <fstream>

#include "device-model/world/constant_world.h"
#include "tests/device-model/temporary_folder.h"

namespace ensemble::device {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

std::string error_of(std::string_view text) {
  const auto world = RecordedWorld::parse(text, "walk.csv");
  return world ? "" : world.error().message();
}

TEST(ConstantWorldTest, IsAtRestUntilSet) {
  ConstantWorld world;
  EXPECT_EQ(world.measure(Quantity::kAccelerationZ, 0), 9.80665);
  world.set(Quantity::kPressure, 90000);
  EXPECT_EQ(world.measure(Quantity::kPressure, 5), 90000);
}

TEST(RecordedWorldTest, PlaysValuesBetweenInstants) {
  const auto world = RecordedWorld::parse(
      "# a walk\npressure, time\n100000, 1\n\n101000, 3\r\n102000,3.5\n", "walk.csv");
  ASSERT_TRUE(world) << world.error().message();
  const auto pressure = [&](std::uint64_t time) {
    return (*world)->measure(Quantity::kPressure, time);
  };
  EXPECT_DOUBLE_EQ(pressure(0), 100000);
  EXPECT_DOUBLE_EQ(pressure(kSecond), 100000);
  EXPECT_DOUBLE_EQ(pressure(2 * kSecond), 100500);
  EXPECT_DOUBLE_EQ(pressure(3 * kSecond), 101000);
  EXPECT_DOUBLE_EQ(pressure(9 * kSecond), 102000);
  EXPECT_DOUBLE_EQ((*world)->measure(Quantity::kIlluminance, 0), 300);
}

TEST(RecordedWorldTest, NamesFileLineAndFieldOfWhatIsWrong) {
  EXPECT_EQ(error_of("time,pressure\n0,1\n1,high\n"),
            "walk.csv:3: field 2: expected a number, but found 'high'");
  EXPECT_EQ(error_of("time,pressure\n0,\n"),
            "walk.csv:2: field 2: expected a number, but found ''");
  EXPECT_EQ(error_of("time,pressure\n0,nan\n"),
            "walk.csv:2: field 2: expected a number, but found 'nan'");
  EXPECT_EQ(error_of("time,pressure\n0,1\n0,2\n"),
            "walk.csv:3: field 1: expected a time after 0 s, but found 0 s");
  EXPECT_EQ(error_of("time,pressure\n0,1,2\n"),
            "walk.csv:2: expected 2 fields, as the first line has, but found 3");
  EXPECT_TRUE(error_of("time,presure\n0,1\n")
                  .starts_with("walk.csv:1: field 2: 'presure' is no column of a recording; "
                               "expected one of: time, acceleration.x"));
  EXPECT_EQ(error_of("time,time\n0,1\n"), "walk.csv:1: field 2: column 'time' is given twice");
  EXPECT_EQ(error_of("pressure\n0\n"), "walk.csv:1: expected a column 'time'");
  EXPECT_EQ(error_of("time,pressure\n"),
            "walk.csv: expected a line of column names and at least one instant");
  EXPECT_NE(error_of("").find("walk.csv"), std::string::npos);
}

TEST(RecordedWorldTest, LoadsAFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write("walk.csv", "time,illuminance\n0,12\n");
  const auto world = RecordedWorld::load(path);
  ASSERT_TRUE(world) << world.error().message();
  EXPECT_DOUBLE_EQ((*world)->measure(Quantity::kIlluminance, 0), 12);
  const auto missing = RecordedWorld::load(path + "x");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find("walk.csvx"), std::string::npos);
}

}  // namespace
}  // namespace ensemble::device
