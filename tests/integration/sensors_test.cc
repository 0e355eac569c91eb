#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"

namespace ensemble::integration {
namespace {

// A world in which every quantity has a value of its own, and a name for what is known of it.
constexpr const char* kWorld =
    "time,acceleration.x,acceleration.y,acceleration.z,angular-velocity.x,angular-velocity.y,"
    "angular-velocity.z,magnetic-field.x,magnetic-field.y,magnetic-field.z,illuminance,proximity,"
    "pressure,temperature,battery-voltage,battery-current,battery-level,battery-temperature,"
    "supply-voltage\n"
    "0,1.5,-2.25,9.5,0.5,-0.25,0.125,21e-6,-4.5e-6,-39e-6,420,0.05,98765.43,300.65,3.9,0.5,0.625,"
    "303.15,5\n";

// What the files of /sys/bus/iio and /sys/class/power_supply say in a device, by their paths below
// these with the device's name in place of its number: "bmi160/in_accel_x_raw".
class Files {
 public:
  explicit Files(const std::string& profile) {
    const TemporaryFolder folder;
    const std::string world = folder.write("world.csv", kWorld);
    // By the shell alone: a process for each file takes longer than all reads.
    const Outcome outcome =
        run_ensemble({"run", profile, "--world", world, "--", "/bin/busybox", "sh", "-c",
                      "for d in /sys/bus/iio/devices/* /sys/class/power_supply/*; do cd $d; "
                      "n=${d##*/}; [ -f name ] && read n < name; for f in *; do "
                      "[ -f $f ] && [ $f != uevent ] && IFS= read -r v < $f && echo $n/$f $v; "
                      "done; done"});
    EXPECT_EQ(outcome.errors, "");
    output_ = outcome.output;
    std::istringstream lines(output_);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t space = line.find(' ');
      texts_[line.substr(0, space)] = space == std::string::npos ? "" : line.substr(space + 1);
    }
  }

  std::string text(const std::string& path) const {
    const auto found = texts_.find(path);
    EXPECT_NE(found, texts_.end()) << path << " is not in:\n" << output_;
    return found == texts_.end() ? "" : found->second;
  }
  double number(const std::string& path) const {
    const std::string found = text(path);
    char* end = nullptr;
    const double value = std::strtod(found.c_str(), &end);
    EXPECT_TRUE(!found.empty() && *end == '\0') << path << " says '" << found << "'";
    return value;
  }

  // That `raw` × `scale` is `value`, to half a step and what the scale's last digit leaves open.
  void expect(const std::string& raw, const std::string& scale, double value) const {
    const double step = number(scale);
    const double got = number(raw) * step;
    EXPECT_NEAR(got, value, step / 2 + std::abs(value) * 2e-3) << raw;
  }
  void expect_axes(const std::string& kind, const std::string& scale,
                   const std::vector<double>& values) const {
    const char* axis = "xyz";
    for (std::size_t i = 0; i < values.size(); ++i) {
      expect(kind + "_" + axis[i] + "_raw", scale, values[i]);
    }
  }

 private:
  std::string output_;
  std::map<std::string, std::string> texts_;
};

void expect_magnetic_field(const Files& files) {
  const std::vector<double> gauss = {0.21, -0.045, -0.39};
  for (std::size_t i = 0; i < gauss.size(); ++i) {
    const std::string axis = std::string("ak09912/in_magn_") + "xyz"[i];
    files.expect(axis + "_raw", axis + "_scale", gauss[i]);
  }
}

void expect_battery(const Files& files, double microamp_hours) {
  EXPECT_EQ(files.text("max170xx_battery/type"), "Battery");
  EXPECT_EQ(files.text("max170xx_battery/status"), "Charging");
  EXPECT_EQ(files.text("max170xx_battery/present"), "1");
  EXPECT_EQ(files.text("max170xx_battery/capacity"), "62");
  EXPECT_NEAR(files.number("max170xx_battery/voltage_now"), 3.9e6, 79);
  EXPECT_NEAR(files.number("max170xx_battery/current_now"), 0.5e6, 157);
  EXPECT_EQ(files.text("max170xx_battery/temp"), "300");
  EXPECT_NEAR(files.number("max170xx_battery/charge_full"), microamp_hours, 500);
  EXPECT_NEAR(files.number("max170xx_battery/charge_now"), 0.625 * microamp_hours, 500);
}

void expect_charger(const Files& files) {
  EXPECT_EQ(files.text("bq24190-charger/type"), "USB");
  EXPECT_EQ(files.text("bq24190-charger/online"), "1");
  EXPECT_EQ(files.text("bq24190-charger/status"), "Charging");
  EXPECT_EQ(files.text("bq24190-charger/charge_type"), "Fast");
  EXPECT_EQ(files.text("bq24190-charger/health"), "Good");
}

void expect_light_of_ltr559(const Files& files) {
  EXPECT_NEAR(files.number("ltr559/in_illuminance_input"), 420, 2.1);
  const double near = 2047 * 0.02 * 0.02 / (0.05 * 0.05);
  EXPECT_NEAR(files.number("ltr559/in_proximity_raw"), near, 0.5);
}

TEST(Sensors, OfAPhoneSayWhatTheWorldDoes) {
  REQUIRE_KVM();
  const Files files("phone");
  files.expect_axes("bmi160/in_accel", "bmi160/in_accel_scale", {1.5, -2.25, 9.5});
  files.expect_axes("bmi160/in_anglvel", "bmi160/in_anglvel_scale", {0.5, -0.25, 0.125});
  EXPECT_EQ(files.text("bmi160/in_accel_sampling_frequency"), "100.000000");
  expect_magnetic_field(files);
  files.expect("stk3310/in_illuminance_raw", "stk3310/in_illuminance_scale", 420);
  EXPECT_EQ(files.text("stk3310/in_proximity_raw"), "1000");
  EXPECT_NEAR(files.number("bmp380/in_pressure_input"), 98.76543, 1e-5);
  EXPECT_NEAR(files.number("bmp380/in_temp_input"), 27'500, 10);
  expect_battery(files, 4.6e6);
  expect_charger(files);
}

TEST(Sensors, OfATabletSayWhatTheWorldDoes) {
  REQUIRE_KVM();
  const Files files("tablet");
  files.expect_axes("bmc150_accel/in_accel", "bmc150_accel/in_accel_scale", {1.5, -2.25, 9.5});
  files.expect_axes("lsm6dso_gyro/in_anglvel", "lsm6dso_gyro/in_anglvel_scale",
                    {0.5, -0.25, 0.125});
  expect_magnetic_field(files);
  expect_light_of_ltr559(files);
  expect_battery(files, 7e6);
  expect_charger(files);
}

TEST(Sensors, OfAWatchSayWhatTheWorldDoes) {
  REQUIRE_KVM();
  const Files files("watch");
  files.expect_axes("lsm6dso_accel/in_accel", "lsm6dso_accel/in_accel_scale", {1.5, -2.25, 9.5});
  files.expect_axes("lsm6dso_gyro/in_anglvel", "lsm6dso_gyro/in_anglvel_scale",
                    {0.5, -0.25, 0.125});
  expect_magnetic_field(files);
  expect_light_of_ltr559(files);
  files.expect("lps22hb/in_pressure_raw", "lps22hb/in_pressure_scale", 98.76543);
  files.expect("lps22hb/in_temp_raw", "lps22hb/in_temp_scale", 27'500);
  files.expect("max30102/in_temp_raw", "max30102/in_temp_scale", 27'500);
  expect_battery(files, 306e3);
}

TEST(Sensors, ManyReadersWaitForOneAnotherAndEachIsToldWhatIsNow) {
  REQUIRE_KVM();
  const TemporaryFolder folder;
  const std::string world =
      folder.write("world.csv", "time,acceleration.z\n0,0\n1,0\n1.001,9.80665\n");
  const Outcome outcome = run_ensemble(
      {"run", "phone", "--world", world, "--", "/bin/busybox", "sh", "-c",
       "cd /sys/bus/iio/devices/iio:device0; "
       "for i in 1 2 3 4; do cat in_accel_z_raw in_anglvel_z_raw > /tmp/$i & done; wait; "
       "cat /tmp/? | wc -l; sleep 1; cat in_accel_z_raw; "
       "(echo x > in_accel_z_raw) 2> /dev/null || echo refused; cat "
       "/sys/class/power_supply/*/uevent | "
       "grep -c ^POWER_SUPPLY_NAME="});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.output, "8\n16384\nrefused\n2\n") << outcome.errors;
}

// Both drivers of motion sensors: what is set is what the files and the readings say.
TEST(Sensors, TakeRatesAndScalesAsLinuxDoes) {
  REQUIRE_KVM();
  const TemporaryFolder folder;
  const std::string world =
      folder.write("world.csv", "time,acceleration.z,angular-velocity.z\n0,39.2266,1\n");  // 4 g
  const auto run = [&](const char* product, const std::string& script) {
    const Outcome outcome =
        run_ensemble({"run", product, "--world", world, "--", "/bin/busybox", "sh", "-c",
                      "cd /sys/bus/iio/devices; for d in *; do read n < $d/name; eval $n=$d; done; "
                      "set_to() { (echo $2 > $1) 2> /dev/null || echo refused $2; cat $1; }; " +
                          script});
    EXPECT_EQ(outcome.errors, "");
    return outcome.output;
  };
  EXPECT_EQ(run("phone",
                "cd $bmi160; cat in_accel_z_raw; set_to in_accel_scale 0.002394; "
                "cat in_accel_z_raw; set_to in_accel_scale 0.5; "
                "set_to in_accel_sampling_frequency 12.5; cat in_accel_z_raw; "
                "set_to in_accel_sampling_frequency 13; set_to in_anglvel_scale 0.000133; "
                "cat in_anglvel_z_raw; set_to in_anglvel_sampling_frequency 3200; "
                "set_to in_anglvel_sampling_frequency x"),
            "32767\n0.002394\n16384\nrefused 0.5\n0.002394\n12.500000\n16384\n"
            "refused 13\n12.500000\n0.000133\n7510\n3200.000000\nrefused x\n3200.000000\n");
  // Its driver takes the next rate that there is.
  EXPECT_EQ(run("watch",
                "cd $lsm6dso_accel; cat in_accel_z_raw; set_to in_accel_scale 0.002392822; "
                "cat in_accel_z_raw; set_to sampling_frequency 13; cat in_accel_z_raw; "
                "set_to sampling_frequency 900; set_to in_accel_scale 1; cd ../$lsm6dso_gyro; "
                "cat sampling_frequency; set_to in_anglvel_scale 0.000610865; "
                "cat in_anglvel_z_raw"),
            "32767\n0.002392822\n16393\n26.000000\n16393\nrefused 900\n26.000000\n"
            "refused 1\n0.002392822\n104.000000\n0.000610865\n1637\n");
}

TEST(Sensors, ADriverStartsWithTheFirstRead) {
  REQUIRE_KVM();
  const Outcome outcome =
      run_ensemble({"run", "watch", "--", "/bin/busybox", "sh", "-c",
                    "/bin/devices | grep -v rtc@ | grep -c '\"state\":\"idle\"'; "
                    "for d in /sys/bus/iio/devices/*; do read n < $d/name; "
                    "[ $n != lps22hb ] || cat $d/in_temp_raw > /dev/null; done; "
                    "/bin/devices | grep '\"state\":\"idle\"' | grep -c -e lps22hb -e i2c; "
                    "/bin/devices | grep -e lps22hb-press@5c.,.driver -e i2c@ | grep -c "
                    "'\"state\":\"running\"'"});
  EXPECT_EQ(outcome.output, "7\n0\n2\n") << outcome.errors;
}

}  // namespace
}  // namespace ensemble::integration
