// Debian's own programs for hardware, unchanged, on our kernel: what they print agrees with the
// world that the product is in. tests/lanes/stock_linux_chips_test.py asks the same of Debian's
// kernel.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <map>
#include <sstream>
#include <string>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"
#include "tests/programs/debian_root.h"
#include "tests/programs/iio_info.h"

namespace ensemble::programs {
namespace {

using integration::Outcome;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kWorld =
    "time,acceleration.x,acceleration.y,acceleration.z,angular-velocity.x,angular-velocity.y,"
    "angular-velocity.z,magnetic-field.x,magnetic-field.y,magnetic-field.z,illuminance,proximity,"
    "pressure,temperature,battery-voltage,battery-current,battery-level,battery-temperature,"
    "supply-voltage\n"
    "0,1.5,-2.5,9.25,0.75,-0.5,0.25,21e-6,-33e-6,12e-6,420,0.05,99000,304.65,3.91,0.35,0.62,"
    "306.15,5\n";
constexpr double kKilopascal = 99;
constexpr double kMillidegrees = 31'500;

class HardwarePrograms : public testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_KVM();
    REQUIRE_DEBIAN_ROOT(Root::kHardware);
  }

  // Runs a script for dash on a product in kWorld.
  static std::string run(const std::string& product, const std::string& script) {
    const integration::TemporaryFolder folder;
    const Outcome outcome = integration::run_ensemble(
        {"run", product, "--world", folder.write("world.csv", kWorld), "--rootfs",
         debian_root(Root::kHardware), "--", "/usr/bin/dash", "-c",
         "export PATH=/usr/sbin:/usr/bin:/bin; exec 2>&1\n" + script},
        {}, seconds(30) * integration::patience());
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
    return outcome.output;
  }

  static IioInfo sensors(const std::string& product) { return IioInfo(run(product, "iio_info")); }

  static void expect_compass(const IioInfo& info) {
    info.expect_axes("ak09912", "magn", 0.21, -0.33, 0.12);  // gauss
  }
};

TEST_F(HardwarePrograms, IioInfoReadsThePhone) {
  const IioInfo info = sensors("phone");
  info.expect_axes("bmi160", "accel", 1.5, -2.5, 9.25);
  info.expect_axes("bmi160", "anglvel", 0.75, -0.5, 0.25);
  info.expect("stk3310", "illuminance", 420);
  info.expect("bmp380", "pressure", kKilopascal, 0.003);
  info.expect("bmp380", "temp", kMillidegrees, 10);
  EXPECT_EQ(info.text("stk3310", "proximity", "raw"), "1000");
  expect_compass(info);
}

TEST_F(HardwarePrograms, IioInfoReadsTheTablet) {
  const IioInfo info = sensors("tablet");
  info.expect_axes("bmc150_accel", "accel", 1.5, -2.5, 9.25);
  info.expect_axes("lsm6dso_accel", "accel", 1.5, -2.5, 9.25);
  info.expect_axes("lsm6dso_gyro", "anglvel", 0.75, -0.5, 0.25);
  info.expect("ltr559", "illuminance", 420, 3);
  expect_compass(info);
}

TEST_F(HardwarePrograms, IioInfoReadsTheWatch) {
  const IioInfo info = sensors("watch");
  info.expect_axes("lsm6dso_accel", "accel", 1.5, -2.5, 9.25);
  info.expect_axes("lsm6dso_gyro", "anglvel", 0.75, -0.5, 0.25);
  info.expect("lps22hb", "pressure", kKilopascal);
  info.expect("lps22hb", "temp", kMillidegrees);
  info.expect("max30102", "temp", kMillidegrees);
  info.expect("ltr559", "illuminance", 420, 3);
  expect_compass(info);
}

// The name=value lines of uevent files that cat prints.
std::map<std::string, std::string> properties(const std::string& text) {
  std::map<std::string, std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) {
      found[line.substr(0, equals)] = line.substr(equals + 1);
    }
  }
  return found;
}

TEST_F(HardwarePrograms, CatReadsTheBatteryAndTheCharger) {
  const struct {
    const char* product;
    double full;  // µAh
    bool has_charger;
  } cases[] = {{"phone", 4.6e6, true}, {"tablet", 7e6, true}, {"watch", 306e3, false}};
  for (const auto& each : cases) {
    auto gauge =
        properties(run(each.product, "cat /sys/class/power_supply/max170xx_battery/uevent"));
    const auto number = [&](const char* name) {
      return std::atof(gauge[std::string("POWER_SUPPLY_") + name].c_str());
    };
    SCOPED_TRACE(each.product);
    EXPECT_EQ(gauge["POWER_SUPPLY_TYPE"], "Battery");
    EXPECT_NEAR(number("VOLTAGE_NOW"), 3.91e6, 79);
    EXPECT_NEAR(number("CURRENT_NOW"), 0.35e6, 157);
    EXPECT_NEAR(number("CAPACITY"), 62, 1);
    EXPECT_NEAR(number("CHARGE_FULL"), each.full, 500);
    EXPECT_NEAR(number("CHARGE_NOW"), each.full * 0.62, 500);
    EXPECT_NEAR(number("TEMP"), 330, 1);
    if (each.has_charger) {
      auto charger =
          properties(run(each.product, "cat /sys/class/power_supply/bq24190-charger/uevent"));
      EXPECT_EQ(charger["POWER_SUPPLY_ONLINE"], "1");
      EXPECT_EQ(charger["POWER_SUPPLY_STATUS"], "Charging");
    }
  }
}

TEST_F(HardwarePrograms, EvtestTellsWhatTheInputDevicesAre) {
  // It ends by the signal that timeout sends.
  const std::string output = run("phone",
                                 "timeout 1 evtest /dev/input/event0\n"
                                 "timeout 1 evtest /dev/input/event1\n"
                                 "timeout 1 evtest < /dev/null; true");
  EXPECT_THAT(output, HasSubstr("Input driver version is 1.0.1\n"));
  EXPECT_THAT(output, HasSubstr("Input device name: \"Ensemble Phone buttons\"\n"));
  EXPECT_THAT(output, HasSubstr("Event code 114 (KEY_VOLUMEDOWN)\n"
                                "    Event code 115 (KEY_VOLUMEUP)\n"
                                "    Event code 116 (KEY_POWER)\n"));
  EXPECT_THAT(output, HasSubstr("Input device name: \"Ensemble Phone touch screen\"\n"));
  EXPECT_THAT(output, HasSubstr("Event code 54 (ABS_MT_POSITION_Y)\n"
                                "      Value      0\n"
                                "      Min        0\n"
                                "      Max     2399\n"
                                "      Resolution      17\n"));
  EXPECT_THAT(output, HasSubstr("Property type 1 (INPUT_PROP_DIRECT)\n"));
  EXPECT_THAT(output, HasSubstr("/dev/input/event1:\tEnsemble Phone touch screen\n"));
  EXPECT_THAT(output, Not(HasSubstr("Can't")));
}

// As evemu-event writes them: Linux tells such events to all who have the device open.
TEST_F(HardwarePrograms, EvtestTellsEventsAndQueriesKeys) {
  const std::string output =
      run("phone",
          // struct input_event: 16 bytes of time, then type, code and value.
          "event() { printf '\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0'\"$1\"; }\n"
          "event '\\1\\0\\164\\0\\1\\0\\0\\0' > /tmp/down\n"  // EV_KEY, KEY_POWER, 1
          "event '\\0\\0\\0\\0\\0\\0\\0\\0' > /tmp/report\n"  // EV_SYN, SYN_REPORT, 0
          "cat /tmp/down /tmp/report > /tmp/press\n"
          "timeout 20 stdbuf -o0 evtest /dev/input/event0 > /tmp/told & \n"
          "until grep -q Testing /tmp/told 2> /dev/null; do sleep 0.05; done\n"
          "evtest --query /dev/input/event0 EV_KEY KEY_POWER; echo up $?\n"
          "cat /tmp/press > /dev/input/event0\n"
          "until grep -q SYN_REPORT /tmp/told; do sleep 0.05; done\n"
          "evtest --query /dev/input/event0 EV_KEY KEY_POWER; echo down $?\n"
          "kill %1; cat /tmp/told");
  EXPECT_THAT(output, HasSubstr("up 0\n"));
  EXPECT_THAT(output, HasSubstr("down 10\n"));
  EXPECT_THAT(output, HasSubstr("type 1 (EV_KEY), code 116 (KEY_POWER), value 1\n"));
  EXPECT_THAT(output, HasSubstr("-------------- SYN_REPORT ------------\n"));
}

// Seconds since 1970 of "2026-11-24 03:47:23.965341+00:00".
double seconds_of(const std::string& text) {
  std::tm parts{};
  const char* const rest = ::strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parts);
  EXPECT_NE(rest, nullptr) << text;
  return rest == nullptr ? 0 : static_cast<double>(::timegm(&parts)) + std::atof(rest);
}

TEST_F(HardwarePrograms, HwclockReadsTheTimeAndSetsIt) {
  const auto before = static_cast<double>(std::time(nullptr));
  std::istringstream lines(run("watch",
                               "hwclock --utc --show\n"
                               "hwclock --utc --noadjfile --set --date '2031-02-03 04:05:06'\n"
                               "hwclock --utc --noadjfile --show\n"
                               "cd /sys/class/rtc/rtc0; cat date time since_epoch name hctosys\n"));
  const auto after = static_cast<double>(std::time(nullptr)) + 1;
  std::string line;
  std::getline(lines, line);
  EXPECT_GE(seconds_of(line), before - 1) << line;
  EXPECT_LE(seconds_of(line), after) << line;
  const double set = seconds_of("2031-02-03 04:05:06");
  std::getline(lines, line);
  EXPECT_GE(seconds_of(line), set) << line;
  EXPECT_LE(seconds_of(line), set + (after - before)) << line;
  std::string rest[5];
  for (std::string& each : rest) {
    std::getline(lines, each);
  }
  EXPECT_EQ(rest[0], "2031-02-03");
  EXPECT_THAT(rest[1], testing::StartsWith("04:05:"));
  EXPECT_GE(std::atof(rest[2].c_str()), set);
  EXPECT_LE(std::atof(rest[2].c_str()), set + (after - before));
  EXPECT_EQ(rest[3], "rtc_cmos rtc_cmos");
  EXPECT_EQ(rest[4], "0");
}

}  // namespace
}  // namespace ensemble::programs
