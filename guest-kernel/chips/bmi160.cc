// Bosch BMI160: accelerometer and gyroscope (data sheet BST-BMI160-DS000). Files as Linux's bmi160
// driver has them, for the ranges after a reset: 2 g and 2000 °/s.

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kChipId = 0x00,
  kGyroscopeData = 0x0c,
  kAccelerometerData = 0x12,
  kStatus = 0x1b,
  kCommand = 0x7e,
};

enum Command : std::uint8_t {
  kSuspendAccelerometer = 0x10,
  kStartAccelerometer = 0x11,
  kSuspendGyroscope = 0x14,
  kStartGyroscope = 0x15,
};

// Of kStatus.
constexpr std::uint8_t kAccelerometerReady = 1 << 7;
constexpr std::uint8_t kGyroscopeReady = 1 << 6;

constexpr std::uint64_t kPeriod = 10'000'000;  // ns, between samples
constexpr std::uint64_t kLimit = 200'000'000;  // ns; the gyroscope starts within 80 ms

// Channels: the axes of the gyroscope, then those of the accelerometer.
constexpr std::uint32_t kAccelerometer = 3;

constexpr Attribute kAttributes[] = {
    {"in_accel_sampling_frequency", "100.000000"},
    {"in_accel_sampling_frequency_available",
     "0.78125 1.5625 3.125 6.25 12.5 25 50 100 200 400 800 1600"},
    {"in_accel_scale", "0.000598"},
    {"in_accel_scale_available", "0.000598 0.001197 0.002394 0.004788"},
    {"in_accel_x_raw", {}, kAccelerometer},
    {"in_accel_y_raw", {}, kAccelerometer + 1},
    {"in_accel_z_raw", {}, kAccelerometer + 2},
    {"in_anglvel_sampling_frequency", "100.000000"},
    {"in_anglvel_sampling_frequency_available", "25 50 100 200 400 800 1600 3200"},
    {"in_anglvel_scale", "0.001065"},
    {"in_anglvel_scale_available", "0.001065 0.000532 0.000266 0.000133 0.000066"},
    {"in_anglvel_x_raw", {}, 0},
    {"in_anglvel_y_raw", {}, 1},
    {"in_anglvel_z_raw", {}, 2},
    {"in_mount_matrix", "1, 0, 0; 0, 1, 0; 0, 0, 1"},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "bmi160", kAttributes}};

int probe(Registers& chip) {
  return chip.expect(kChipId, 0xd1);
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  const bool accelerates = channel >= kAccelerometer;
  const std::uint8_t ready = accelerates ? kAccelerometerReady : kGyroscopeReady;
  const auto data = static_cast<std::uint8_t>(kGyroscopeData + 2 * channel);
  static_assert(kAccelerometerData == kGyroscopeData + 2 * kAccelerometer);
  std::array<std::uint8_t, 2> bytes{};
  // What an earlier use left there is not new; reading it says so to the chip.
  int error = chip.read(data, bytes);
  if (error == 0) {
    error = chip.write(kCommand, accelerates ? kStartAccelerometer : kStartGyroscope);
  }
  if (error == 0) {
    error = chip.wait_until(kStatus, ready, ready, kPeriod, kLimit);
  }
  if (error == 0) {
    error = chip.read(data, bytes);
  }
  const int suspended =
      chip.write(kCommand, accelerates ? kSuspendAccelerometer : kSuspendGyroscope);
  put_integer(text, signed_low_first(bytes));
  return error != 0 ? error : suspended;
}

}  // namespace

extern const ChipModel bmi160_model = {"bosch,bmi160", kDevices};
extern const ChipDriver bmi160_driver = {probe, read};

}  // namespace chips
