// Bosch BMI160: accelerometer and gyroscope. Registers as the data sheet BST-BMI160-DS000 has them,
// of which Linux's bmi160 driver uses identity, modes, data, rates, ranges and the data-ready
// interrupt.

#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/byte_fifo.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kChipId = 0x00,
  kPowerStatus = 0x03,
  kGyroscopeData = 0x0C,
  kAccelerometerData = 0x12,
  kSensorTime = 0x18,
  kStatus = 0x1B,
  kInterruptStatus0 = 0x1C,
  kInterruptStatus1 = 0x1D,
  kTemperature = 0x20,
  kFifoLength = 0x22,
  kFifoData = 0x24,
  kAccelerometerConfiguration = 0x40,
  kAccelerometerRange = 0x41,
  kGyroscopeConfiguration = 0x42,
  kGyroscopeRange = 0x43,
  kFifoWatermark = 0x46,
  kFifoConfiguration = 0x47,
  kInterruptEnable0 = 0x50,
  kInterruptEnable1 = 0x51,
  kInterruptOutput = 0x53,
  kInterruptLatch = 0x54,
  kInterruptMap0 = 0x55,
  kInterruptMap1 = 0x56,
  kMotionDuration = 0x5F,
  kMotionThreshold = 0x60,
  kSelfTest = 0x6D,
  kCommand = 0x7E,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {kChipId, kChipId, 0xD1, 0}, {kStatus, kStatus, 0x10, 0}, {0x40, 0x40, 0x28, 0xFF},
    {0x41, 0x41, 0x03, 0x0F},    {0x42, 0x42, 0x28, 0x3F},    {0x43, 0x43, 0x00, 0x07},
    {0x44, 0x44, 0x0B, 0x0F},    {0x45, 0x45, 0x88, 0xFF},    {0x46, 0x46, 0x80, 0xFF},
    {0x47, 0x47, 0x10, 0xFE},    {0x4B, 0x4B, 0x20, 0xFE},    {0x4C, 0x4C, 0x80, 0xFF},
    {0x4D, 0x4D, 0x42, 0xFF},    {0x4E, 0x4E, 0x4C, 0xFF},    {0x4F, 0x4F, 0x00, 0xFF},
    {0x50, 0x50, 0x00, 0xF7},    {0x51, 0x51, 0x00, 0x7F},    {0x52, 0x52, 0x00, 0x0F},
    {0x53, 0x53, 0x00, 0xFF},    {0x54, 0x54, 0x00, 0x3F},    {0x55, 0x59, 0x00, 0xFF},
    {0x5A, 0x5A, 0x07, 0xFF},    {0x5B, 0x5B, 0x30, 0xFF},    {0x5C, 0x5C, 0x81, 0xFF},
    {0x5D, 0x5D, 0x0B, 0xFF},    {0x5E, 0x5E, 0xC0, 0xFF},    {0x5F, 0x5F, 0x00, 0xFF},
    {0x60, 0x61, 0x14, 0xFF},    {0x62, 0x62, 0x24, 0xFF},    {0x63, 0x63, 0x04, 0xFF},
    {0x64, 0x64, 0x0A, 0xFF},    {0x65, 0x65, 0x18, 0xFF},    {0x66, 0x66, 0x48, 0xFF},
    {0x67, 0x67, 0x08, 0xFF},    {0x68, 0x68, 0x11, 0xFF},    {0x69, 0x6D, 0x00, 0xFF},
    {0x70, 0x79, 0x00, 0xFF},    {0x7A, 0x7A, 0x15, 0xFF},    {0x7B, 0x7B, 0x03, 0x0F},
    {0x7F, 0x7F, 0x00, 0xFF},
};

// Bits of kStatus.
constexpr std::uint8_t kAccelerometerReady = 1 << 7;
constexpr std::uint8_t kGyroscopeReady = 1 << 6;
constexpr std::uint8_t kGyroscopeTested = 1 << 1;

// Interrupts; in the order of kInterruptStatus0 and kInterruptStatus1.
constexpr std::uint8_t kAnyMotion = 1 << 2;
constexpr std::uint8_t kDataReady = 1 << 4;
constexpr std::uint8_t kFifoFull = 1 << 5;
constexpr std::uint8_t kFifoAtWatermark = 1 << 6;

// Bits of kFifoConfiguration.
constexpr std::uint8_t kFifoGyroscope = 1 << 7;
constexpr std::uint8_t kFifoAccelerometer = 1 << 6;
constexpr std::uint8_t kFifoHeaders = 1 << 4;

constexpr std::uint8_t kEmptyFifo = 0x80;
constexpr std::size_t kFifoSize = 1024;
constexpr std::size_t kMostFrames = kFifoSize / 6 + 1;
constexpr double kStandardGravity = 9.80665;
constexpr std::uint64_t kSensorTick = 39'063;  // ns, of the sensor time.

std::uint64_t period_of_code(std::uint8_t configuration, std::uint8_t slowest,
                             std::uint8_t fastest) {
  const auto code = std::clamp<std::uint8_t>(configuration & 0x0F, slowest, fastest);
  return 2'560'000'000ULL >> code;  // Code 8 is 100 Hz.
}

class Bmi160 final : public ByteChip {
 public:
  Bmi160(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  std::uint8_t next(std::uint8_t address) override {
    return address == kFifoData ? address : static_cast<std::uint8_t>(address + 1);
  }
  void advance(std::uint64_t now) override;
  void update_outputs() override;
  void exchange(StateFields& state) override {
    accelerometer_.exchange(state);
    gyroscope_.exchange(state);
    fifo_.exchange(state);
    state.field(previous_);
    state.limited(motion_run_, 8, "samples in a row");
    state.field(new_sample_);
  }

  void command(std::uint8_t value);
  void set_clocks();
  void take_acceleration(std::uint64_t time);
  void take_angular_velocity(std::uint64_t time);
  void look_for_motion(const std::array<std::int16_t, 3>& values);
  void push_frame(bool gyroscope, bool accelerometer);
  std::uint8_t enabled_interrupts() const;
  double full_scale() const;  // In g.

  SampleClock accelerometer_;
  SampleClock gyroscope_;
  ByteFifo fifo_{kFifoSize};
  std::array<std::int16_t, 3> previous_{};  // Acceleration, for its slope.
  std::uint8_t motion_run_ = 0;             // Samples with a slope above the threshold.
  bool new_sample_ = false;                 // Since the output was last updated.
};

double Bmi160::full_scale() const {
  switch (at(kAccelerometerRange)) {
    case 0x05:
      return 4;
    case 0x08:
      return 8;
    case 0x0C:
      return 16;
    default:
      return 2;
  }
}

void Bmi160::advance(std::uint64_t now) {
  const std::uint64_t history =
      (at(kFifoConfiguration) & (kFifoGyroscope | kFifoAccelerometer)) != 0 ? kMostFrames
      : (at(kInterruptEnable0) & 7) != 0                                    ? 16
                                                                            : 1;
  std::vector<std::uint64_t> accelerations;
  std::vector<std::uint64_t> rotations;
  accelerometer_.take(now, history, [&](std::uint64_t t) { accelerations.push_back(t); });
  gyroscope_.take(now, history, [&](std::uint64_t t) { rotations.push_back(t); });
  auto acceleration = accelerations.begin();
  auto rotation = rotations.begin();
  while (acceleration != accelerations.end() || rotation != rotations.end()) {
    const std::uint64_t time = acceleration == accelerations.end() ? *rotation
                               : rotation == rotations.end()       ? *acceleration
                                                             : std::min(*acceleration, *rotation);
    const bool accelerates = acceleration != accelerations.end() && *acceleration == time;
    const bool rotates = rotation != rotations.end() && *rotation == time;
    if (accelerates) {
      take_acceleration(time);
      ++acceleration;
    }
    if (rotates) {
      take_angular_velocity(time);
      ++rotation;
    }
    push_frame(rotates, accelerates);
    new_sample_ = true;
  }
  if (new_sample_) {
    at(kInterruptStatus1) |= kDataReady;
  }
}

void Bmi160::take_acceleration(std::uint64_t time) {
  const double step = full_scale() * kStandardGravity / 32768;
  // A self-test pushes the mass by more than the 0.8 g that a test asks for between both signs.
  const std::uint8_t test = at(kSelfTest);
  const double push = (test & 3) == 0 ? 0.0
                                      : ((test & 4) != 0 ? 1.0 : -1.0) *
                                            ((test & 8) != 0 ? 1.0 : 0.25) * kStandardGravity;
  constexpr Quantity kAxes[] = {Quantity::kAccelerationX, Quantity::kAccelerationY,
                                Quantity::kAccelerationZ};
  std::array<std::int16_t, 3> values{};
  for (std::uint8_t axis = 0; axis < 3; ++axis) {
    values[axis] = quantize<std::int16_t>(host().measure(kAxes[axis], time) + push, step);
    put_low_first(static_cast<std::uint8_t>(kAccelerometerData + 2 * axis), as_word(values[axis]));
  }
  at(kStatus) |= kAccelerometerReady;
  look_for_motion(values);
}

void Bmi160::look_for_motion(const std::array<std::int16_t, 3>& values) {
  // 3.91 mg in the range of 2 g are 64 steps, and so in all ranges.
  const int threshold = std::max<int>(at(kMotionThreshold), 1) * 64;
  bool moves = false;
  for (std::size_t axis = 0; axis < values.size(); ++axis) {
    const bool watched = (at(kInterruptEnable0) >> axis & 1) != 0;
    moves |= watched && std::abs(values[axis] - previous_[axis]) > threshold;
  }
  previous_ = values;
  const int needed = (at(kMotionDuration) & 3) + 1;
  motion_run_ = moves ? static_cast<std::uint8_t>(std::min(motion_run_ + 1, 8)) : 0;
  if (motion_run_ >= needed) {
    at(kInterruptStatus0) |= kAnyMotion;
  }
}

void Bmi160::take_angular_velocity(std::uint64_t time) {
  const double degrees = 2000.0 / (1 << std::min<int>(at(kGyroscopeRange), 4));
  const double step = degrees * std::numbers::pi / 180 / 32768;
  constexpr Quantity kAxes[] = {Quantity::kAngularVelocityX, Quantity::kAngularVelocityY,
                                Quantity::kAngularVelocityZ};
  for (std::uint8_t axis = 0; axis < 3; ++axis) {
    put_low_first(static_cast<std::uint8_t>(kGyroscopeData + 2 * axis),
                  as_word(quantize<std::int16_t>(host().measure(kAxes[axis], time), step)));
  }
  at(kStatus) |= kGyroscopeReady;
}

void Bmi160::push_frame(bool gyroscope, bool accelerometer) {
  gyroscope = gyroscope && (at(kFifoConfiguration) & kFifoGyroscope) != 0;
  accelerometer = accelerometer && (at(kFifoConfiguration) & kFifoAccelerometer) != 0;
  if (!gyroscope && !accelerometer) {
    return;
  }
  std::vector<std::uint8_t> frame;
  if ((at(kFifoConfiguration) & kFifoHeaders) != 0) {
    frame.push_back(
        static_cast<std::uint8_t>(0x80 | (gyroscope ? 8 : 0) | (accelerometer ? 4 : 0)));
  }
  const auto add = [&](std::uint8_t address) {
    for (std::uint8_t i = 0; i < 6; ++i) {
      frame.push_back(at(static_cast<std::uint8_t>(address + i)));
    }
  };
  if (gyroscope) {
    add(kGyroscopeData);
  }
  if (accelerometer) {
    add(kAccelerometerData);
  }
  if (fifo_.push(frame) || !fifo_.fits(frame.size())) {
    at(kInterruptStatus1) |= kFifoFull;
  }
  if (fifo_.size() >= at(kFifoWatermark) * 4U && at(kFifoWatermark) != 0) {
    at(kInterruptStatus1) |= kFifoAtWatermark;
  }
}

std::uint8_t Bmi160::load(std::uint8_t address) {
  const std::uint64_t ticks = host().now() / kSensorTick;
  switch (address) {
    case kSensorTime:
    case kSensorTime + 1:
    case kSensorTime + 2:
      return static_cast<std::uint8_t>(ticks >> (8 * (address - kSensorTime)));
    case kTemperature:
    case kTemperature + 1: {
      const double above = host().measure(Quantity::kTemperature, host().now()) - 273.15 - 23;
      const std::uint16_t word = as_word(quantize<std::int16_t>(above, 1.0 / 512));
      return static_cast<std::uint8_t>(address == kTemperature ? word : word >> 8);
    }
    case kFifoLength:
      return static_cast<std::uint8_t>(fifo_.size());
    case kFifoLength + 1:
      return static_cast<std::uint8_t>(fifo_.size() >> 8);
    case kFifoData: {
      const std::uint8_t value = fifo_.pop(kEmptyFifo);
      if (fifo_.size() < at(kFifoWatermark) * 4U) {
        at(kInterruptStatus1) &= static_cast<std::uint8_t>(~(kFifoAtWatermark | kFifoFull));
      }
      return value;
    }
    default:
      break;
  }
  const std::uint8_t value = at(address);
  if (address >= kGyroscopeData && address < kSensorTime) {
    at(kStatus) &= static_cast<std::uint8_t>(
        ~(address < kAccelerometerData ? kGyroscopeReady : kAccelerometerReady));
    at(kInterruptStatus1) &= static_cast<std::uint8_t>(~kDataReady);
  } else if (address == kInterruptStatus0) {
    at(address) = 0;
  }
  return value;
}

void Bmi160::store(std::uint8_t address, std::uint8_t value) {
  if (address == kCommand) {
    command(value);
    return;
  }
  ByteChip::store(address, value);
  switch (address) {
    case kAccelerometerConfiguration:
    case kGyroscopeConfiguration:
      set_clocks();
      break;
    case kFifoConfiguration:
      fifo_.clear();
      break;
    case kSelfTest:
      // The gyroscope tests itself and tells the result.
      at(kStatus) = static_cast<std::uint8_t>((at(kStatus) & ~kGyroscopeTested) |
                                              ((value & 0x10) != 0 ? kGyroscopeTested : 0));
      break;
    default:
      break;
  }
}

void Bmi160::command(std::uint8_t value) {
  constexpr std::uint8_t kFlush = 0xB0, kResetInterrupts = 0xB1, kSoftReset = 0xB6;
  if (value >= 0x10 && value <= 0x12) {
    at(kPowerStatus) = static_cast<std::uint8_t>((at(kPowerStatus) & ~0x30) | (value & 3) << 4);
  } else if (value >= 0x14 && value <= 0x17 && value != 0x16) {
    at(kPowerStatus) = static_cast<std::uint8_t>((at(kPowerStatus) & ~0x0C) | (value & 3) << 2);
  } else if (value == kFlush) {
    fifo_.clear();
    at(kInterruptStatus1) &= static_cast<std::uint8_t>(~(kFifoAtWatermark | kFifoFull));
  } else if (value == kResetInterrupts) {
    at(kInterruptStatus0) = 0;
    at(kInterruptStatus1) = 0;
  } else if (value == kSoftReset) {
    reset_registers();
    fifo_.clear();
    motion_run_ = 0;
  }
  set_clocks();
}

// A sensor samples unless it is suspended (and the gyroscope, while it only starts up fast).
// Samples are taken at multiples of their period, so those of both sensors come together.
void Bmi160::set_clocks() {
  const std::uint64_t now = host().now();
  const auto set = [now](SampleClock& clock, std::uint64_t period) {
    if (period == 0) {
      clock.stop();
    } else if (period != clock.period()) {
      clock.start(now - now % period, period);
    }
  };
  set(accelerometer_,
      (at(kPowerStatus) & 0x30) == 0 ? 0 : period_of_code(at(kAccelerometerConfiguration), 1, 12));
  set(gyroscope_,
      (at(kPowerStatus) & 0x0C) != 0x04 ? 0 : period_of_code(at(kGyroscopeConfiguration), 6, 13));
}

// Those that are enabled and led to the output INT1, as bits of kInterruptStatus1 and kAnyMotion.
std::uint8_t Bmi160::enabled_interrupts() const {
  const std::uint8_t map = at(kInterruptMap1);
  const int mapped = ((map & 0x80) != 0 ? kDataReady : 0) |
                     ((map & 0x40) != 0 ? kFifoAtWatermark : 0) |
                     ((map & 0x20) != 0 ? kFifoFull : 0);
  const bool motion = (at(kInterruptEnable0) & 7) != 0 && (at(kInterruptMap0) & kAnyMotion) != 0;
  return static_cast<std::uint8_t>((mapped & at(kInterruptEnable1)) | (motion ? kAnyMotion : 0));
}

void Bmi160::update_outputs() {
  constexpr std::uint8_t kOutputEnabled = 1 << 3, kActiveHigh = 1 << 1;
  const std::uint8_t control = at(kInterruptOutput);
  const std::uint8_t enabled = (control & kOutputEnabled) != 0 ? enabled_interrupts() : 0;
  const bool active_high = (control & kActiveHigh) != 0 || (control & kOutputEnabled) == 0;
  const int pending = (at(kInterruptStatus1) & enabled & ~kAnyMotion) |
                      (at(kInterruptStatus0) & enabled & kAnyMotion);
  if (new_sample_ && (pending & kDataReady) != 0) {
    host().drive_interrupt(!active_high);  // Each sample is an edge, read or not.
  }
  new_sample_ = false;
  host().drive_interrupt((pending != 0) == active_high);
  std::optional<std::uint64_t> time;
  if (enabled != 0) {
    time = accelerometer_.next();
    if (const auto other = gyroscope_.next(); other && (!time || *other < *time)) {
      time = other;
    }
  }
  host().wake_at(time);
}

constexpr std::string_view kMeasures[] = {"acceleration", "angular-velocity"};
constexpr std::uint8_t kAddresses[] = {0x68, 0x69};

}  // namespace

extern const ChipModel kBmi160 = {
    .name = "bmi160",
    .role = ChipRole::kSensor,
    .compatible = "bosch,bmi160",
    .acpi_id = "BMI0160",
    .interrupt = ChipInterrupt::kEdgeRising,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Bmi160>,
};

}  // namespace ensemble::device
