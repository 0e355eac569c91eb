// STMicroelectronics LSM6DSO: accelerometer and gyroscope (data sheet DS12140), two devices as
// Linux's st_lsm6dsx has them, for 2 g, 250 °/s and 104 Hz.

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
constexpr std::uint8_t k104Hertz = 4 << 4;
constexpr std::uint8_t kOff = 0;
// Of kStatus.
constexpr std::uint8_t kAccelerometerReady = 1 << 0;
constexpr std::uint8_t kGyroscopeReady = 1 << 1;

constexpr std::uint64_t kPeriod = 10'000'000;  // ns, between samples
constexpr std::uint64_t kLimit = 200'000'000;  // ns; the gyroscope starts within 70 ms

// Channels: the axes of the gyroscope, then those of the accelerometer.
constexpr std::uint32_t kAccelerometer = 3;

constexpr std::string_view kRates = "12.500 26.000 52.000 104.000 208.000 416.000 833.000";
constexpr std::string_view kMatrix = "1, 0, 0; 0, 1, 0; 0, 0, 1";

constexpr Attribute kAcceleration[] = {

    {"in_accel_scale", "0.000598205"},
    {"in_accel_scale_available", "0.000598205 0.001196411 0.002392822 0.004785645"},
    {"in_accel_x_raw", {}, kAccelerometer},
    {"in_accel_y_raw", {}, kAccelerometer + 1},
    {"in_accel_z_raw", {}, kAccelerometer + 2},
    {"mount_matrix", kMatrix},
    {"sampling_frequency", "104.000000"},
    {"sampling_frequency_available", kRates},
};

constexpr Attribute kRotation[] = {

    {"in_anglvel_scale", "0.000152716"},
    {"in_anglvel_scale_available", "0.000152716 0.000305432 0.000610865 0.001221729"},
    {"in_anglvel_x_raw", {}, 0},
    {"in_anglvel_y_raw", {}, 1},
    {"in_anglvel_z_raw", {}, 2},
    {"mount_matrix", kMatrix},
    {"sampling_frequency", "104.000000"},
    {"sampling_frequency_available", kRates},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "lsm6dso_gyro", kRotation},
                                   {Subsystem::kIio, "lsm6dso_accel", kAcceleration}};

int probe(Registers& chip) {
  return chip.expect(kIdentity, 0x6c);
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  const bool accelerates = channel >= kAccelerometer;
  const std::uint8_t control = accelerates ? kAccelerometerControl : kGyroscopeControl;
  const std::uint8_t ready = accelerates ? kAccelerometerReady : kGyroscopeReady;
  const auto data = static_cast<std::uint8_t>(kGyroscopeData + 2 * channel);
  static_assert(kAccelerometerData == kGyroscopeData + 2 * kAccelerometer);
  std::array<std::uint8_t, 2> bytes{};
  // What an earlier use left there is not new; reading it says so to the chip.
  int error = chip.read(data, bytes);
  error = error != 0 ? error : chip.write(control, k104Hertz);
  error = error != 0 ? error : chip.wait_until(kStatus, ready, ready, kPeriod, kLimit);
  error = error != 0 ? error : chip.read(data, bytes);
  const int stopped = chip.write(control, kOff);
  put_integer(text, signed_low_first(bytes));
  return error != 0 ? error : stopped;
}

}  // namespace

extern const ChipModel lsm6dso_model = {"st,lsm6dso", kDevices};
extern const ChipDriver lsm6dso_driver = {probe, read};

}  // namespace chips
