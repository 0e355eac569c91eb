// Bosch BMI160: accelerometer and gyroscope (data sheet BST-BMI160-DS000). Files as Linux's bmi160
// driver has them. The chip keeps rates and ranges while it is suspended.

#include <asm/errno.h>

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
  kAccelerometerRate = 0x40,  // in the lower half, in powers of two: 8 is 100 Hz
  kAccelerometerRange = 0x41,
  kGyroscopeRate = 0x42,
  kGyroscopeRange = 0x43,
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

constexpr std::uint64_t kPeriod = 10'000'000;    // ns, between looks
constexpr std::uint64_t kLimit = 3'000'000'000;  // ns; at the lowest rate a sample takes 1.3 s

// Channels: the axes of the gyroscope, then those of the accelerometer, then settings.
constexpr std::uint32_t kAccelerometer = 3;
enum Setting : std::uint32_t {
  kSetAccelerometerRate = 6,
  kSetAccelerometerScale,
  kSetGyroscopeRate,
  kSetGyroscopeScale,
};

// What a range is in the register, and the scale that it makes.
struct Range {
  std::uint8_t code;
  std::int64_t scale;  // 10^-9 of the unit
};
constexpr Range kAccelerometerRanges[] = {
    {3, 598'000}, {5, 1'197'000}, {8, 2'394'000}, {12, 4'788'000}};
constexpr Range kGyroscopeRanges[] = {
    {0, 1'065'000}, {1, 532'000}, {2, 266'000}, {3, 133'000}, {4, 66'000}};

constexpr Attribute kAttributes[] = {
    {"in_accel_sampling_frequency", {}, kSetAccelerometerRate, true},
    {"in_accel_sampling_frequency_available",
     "0.78125 1.5625 3.125 6.25 12.5 25 50 100 200 400 800 1600"},
    {"in_accel_scale", {}, kSetAccelerometerScale, true},
    {"in_accel_scale_available", "0.000598 0.001197 0.002394 0.004788"},
    {"in_accel_x_raw", {}, kAccelerometer},
    {"in_accel_y_raw", {}, kAccelerometer + 1},
    {"in_accel_z_raw", {}, kAccelerometer + 2},
    {"in_anglvel_sampling_frequency", {}, kSetGyroscopeRate, true},
    {"in_anglvel_sampling_frequency_available", "25 50 100 200 400 800 1600 3200"},
    {"in_anglvel_scale", {}, kSetGyroscopeScale, true},
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

// Of a rate's code, in 10^-9 Hz.
constexpr std::int64_t rate_of(int code) {
  return (std::int64_t{1} << code) * 390'625'000;
}

std::span<const Range> ranges_of(std::uint32_t setting) {
  return setting == kSetGyroscopeScale ? std::span<const Range>(kGyroscopeRanges)
                                       : std::span<const Range>(kAccelerometerRanges);
}

std::uint8_t register_of(std::uint32_t setting) {
  return static_cast<std::uint8_t>(kAccelerometerRate + setting - kSetAccelerometerRate);
}

bool is_rate(std::uint32_t setting) {
  return setting == kSetAccelerometerRate || setting == kSetGyroscopeRate;
}

int read_setting(Registers& chip, std::uint32_t setting, guest::TextWriter& text) {
  std::uint8_t code = 0;
  if (const int error = chip.read(register_of(setting), {&code, 1})) {
    return error;
  }
  code &= 0xf;
  if (is_rate(setting)) {
    put_fraction(text, rate_of(code) / 1000, 6);
    return 0;
  }
  for (const Range& range : ranges_of(setting)) {
    if (range.code == code) {
      put_fraction(text, range.scale / 1000, 6);
      return 0;
    }
  }
  return EINVAL;
}

int write(Registers& chip, std::uint32_t setting, std::int64_t value) {
  if (is_rate(setting)) {
    const int lowest = setting == kSetAccelerometerRate ? 1 : 6;
    const int highest = setting == kSetAccelerometerRate ? 12 : 13;
    for (int code = lowest; code <= highest; ++code) {
      if (rate_of(code) == value) {
        std::uint8_t old = 0;
        const int error = chip.read(register_of(setting), {&old, 1});
        return error != 0 ? error
                          : chip.write(register_of(setting),
                                       static_cast<std::uint8_t>((old & 0xf0) | code));
      }
    }
  } else if (setting == kSetAccelerometerScale || setting == kSetGyroscopeScale) {
    for (const Range& range : ranges_of(setting)) {
      if (range.scale == value) {
        return chip.write(register_of(setting), range.code);
      }
    }
  }
  return EINVAL;
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  if (channel >= kSetAccelerometerRate) {
    return read_setting(chip, channel, text);
  }
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
extern const ChipDriver bmi160_driver = {probe, read, write};

}  // namespace chips
