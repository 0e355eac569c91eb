// STMicroelectronics LSM6DSO: accelerometer and gyroscope (data sheet DS12140), two devices as
// Linux's st_lsm6dsx has them, for 2 g, 250 °/s and 104 Hz.

#include <asm/errno.h>

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kIdentity = 0x0f,
  kAccelerometerControl = 0x10,
  kGyroscopeControl = 0x11,
  kStatus = 0x1e,
  kGyroscopeData = 0x22,
  kAccelerometerData = 0x28,
};

// Of both controls.
constexpr unsigned kRateShift = 4;
constexpr unsigned kRangeShift = 2;
// Of kStatus.
constexpr std::uint8_t kAccelerometerReady = 1 << 0;
constexpr std::uint8_t kGyroscopeReady = 1 << 1;

constexpr std::uint64_t kPeriod = 10'000'000;  // ns, between looks
constexpr std::uint64_t kLimit = 500'000'000;  // ns; at the lowest rate a sample takes 80 ms

// Channels: the axes of the gyroscope, then those of the accelerometer, then settings: the
// gyroscope's are even.
constexpr std::uint32_t kAccelerometer = 3;
enum Setting : std::uint32_t {
  kGyroscopeRate = 6,
  kAccelerometerRate,
  kGyroscopeScale,
  kAccelerometerScale,
};

// 10^-3 Hz, by their codes from 1 on.
constexpr std::int64_t kMillihertz[] = {12'500, 26'000, 52'000, 104'000, 208'000, 416'000, 833'000};
// 10^-9 of the units, and the codes of the ranges that make them.
struct Range {
  std::uint8_t code;
  std::int64_t scale;
};
constexpr Range kRanges[][4] = {
    {{0, 152'716}, {1, 305'432}, {2, 610'865}, {3, 1'221'729}},
    {{0, 598'205}, {2, 1'196'411}, {3, 2'392'822}, {1, 4'785'645}},
};

// What the control register holds of it while it measures: between that it is off.
struct Part {
  std::uint8_t rate = 4;
  std::uint8_t range = 0;  // an index in kRanges
};
constinit Part parts[2];  // gyroscope, accelerometer

constexpr std::string_view kRates = "12.500 26.000 52.000 104.000 208.000 416.000 833.000";
constexpr std::string_view kMatrix = "1, 0, 0; 0, 1, 0; 0, 0, 1";

constexpr Attribute kAcceleration[] = {

    {"in_accel_scale", {}, kAccelerometerScale, true},
    {"in_accel_scale_available", "0.000598205 0.001196411 0.002392822 0.004785645"},
    {"in_accel_x_raw", {}, kAccelerometer},
    {"in_accel_y_raw", {}, kAccelerometer + 1},
    {"in_accel_z_raw", {}, kAccelerometer + 2},
    {"mount_matrix", kMatrix},
    {"sampling_frequency", {}, kAccelerometerRate, true},
    {"sampling_frequency_available", kRates},
};

constexpr Attribute kRotation[] = {

    {"in_anglvel_scale", {}, kGyroscopeScale, true},
    {"in_anglvel_scale_available", "0.000152716 0.000305432 0.000610865 0.001221729"},
    {"in_anglvel_x_raw", {}, 0},
    {"in_anglvel_y_raw", {}, 1},
    {"in_anglvel_z_raw", {}, 2},
    {"mount_matrix", kMatrix},
    {"sampling_frequency", {}, kGyroscopeRate, true},
    {"sampling_frequency_available", kRates},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "lsm6dso_gyro", kRotation},
                                   {Subsystem::kIio, "lsm6dso_accel", kAcceleration}};

int probe(Registers& chip) {
  return chip.expect(kIdentity, 0x6c);
}

int read_setting(std::uint32_t setting, guest::TextWriter& text) {
  const std::size_t index = setting % 2;
  if (setting >= kGyroscopeScale) {
    put_fraction(text, kRanges[index][parts[index].range].scale, 9);
  } else {
    put_fraction(text, kMillihertz[parts[index].rate - 1] * 1000, 6);
  }
  return 0;
}

// Of rates the next higher one is taken, as Linux does.
int write(Registers& /*chip*/, std::uint32_t setting, std::int64_t value) {
  Part& part = parts[setting % 2];
  if (setting == kGyroscopeScale || setting == kAccelerometerScale) {
    for (std::uint8_t i = 0; i < std::size(kRanges[0]); ++i) {
      if (kRanges[setting % 2][i].scale == value) {
        part.range = i;
        return 0;
      }
    }
  } else if (setting == kGyroscopeRate || setting == kAccelerometerRate) {
    for (std::uint8_t i = 0; i < std::size(kMillihertz); ++i) {
      if (kMillihertz[i] * 1'000'000 >= value && value > 0) {
        part.rate = static_cast<std::uint8_t>(i + 1);
        return 0;
      }
    }
  }
  return EINVAL;
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  if (channel >= kGyroscopeRate) {
    return read_setting(channel, text);
  }
  const bool accelerates = channel >= kAccelerometer;
  const Part& part = parts[accelerates ? 1 : 0];
  const auto range =
      static_cast<std::uint8_t>(kRanges[accelerates ? 1 : 0][part.range].code << kRangeShift);
  const std::uint8_t control = accelerates ? kAccelerometerControl : kGyroscopeControl;
  const std::uint8_t ready = accelerates ? kAccelerometerReady : kGyroscopeReady;
  const auto data = static_cast<std::uint8_t>(kGyroscopeData + 2 * channel);
  static_assert(kAccelerometerData == kGyroscopeData + 2 * kAccelerometer);
  std::array<std::uint8_t, 2> bytes{};
  // What an earlier use left there is not new; reading it says so to the chip.
  int error = chip.read(data, bytes);
  error = error != 0
              ? error
              : chip.write(control, static_cast<std::uint8_t>(part.rate << kRateShift | range));
  error = error != 0 ? error : chip.wait_until(kStatus, ready, ready, kPeriod, kLimit);
  error = error != 0 ? error : chip.read(data, bytes);
  const int stopped = chip.write(control, range);
  put_integer(text, signed_low_first(bytes));
  return error != 0 ? error : stopped;
}

}  // namespace

extern const ChipModel lsm6dso_model = {"st,lsm6dso", kDevices};
extern const ChipDriver lsm6dso_driver = {probe, read, write};

}  // namespace chips
