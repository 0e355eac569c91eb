// STMicroelectronics LSM6DSO: accelerometer and gyroscope. Registers as data sheet DocID DS12140
// has them, of which Linux's st_lsm6dsx uses identity, rates, ranges, data, the tagged FIFO with
// time stamps, and the watermark and wake-up interrupts. The sensor hub's page takes settings, but
// nothing hangs on the chip's own bus.

#include <array>
#include <bit>
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
  kPage = 0x01,
  kFifoControl1 = 0x07,
  kFifoControl3 = 0x09,
  kFifoControl4 = 0x0A,
  kInterrupt1 = 0x0D,
  kIdentity = 0x0F,
  kAccelerometerControl = 0x10,
  kGyroscopeControl = 0x11,
  kControl3 = 0x12,
  kSelfTest = 0x14,
  kControl10 = 0x19,
  kWakeUpSource = 0x1B,
  kStatus = 0x1E,
  kTemperature = 0x20,
  kGyroscopeData = 0x22,
  kAccelerometerData = 0x28,
  kFifoStatus = 0x3A,
  kTimestamp = 0x40,
  kTapConfiguration0 = 0x56,
  kTapConfiguration2 = 0x58,
  kWakeUpThreshold = 0x5B,
  kWakeUpDuration = 0x5C,
  kRouting1 = 0x5E,
  kFifoTag = 0x78,
  kFifoLast = 0x7E,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {0x01, 0x01, 0x00, 0xC0}, {0x02, 0x02, 0x3F, 0x40}, {0x07, 0x0E, 0x00, 0xFF},
    {0x0F, 0x0F, 0x6C, 0x00}, {0x10, 0x10, 0x00, 0xFE}, {0x11, 0x11, 0x00, 0xFE},
    {0x12, 0x12, 0x04, 0x7C}, {0x13, 0x17, 0x00, 0xFF}, {0x18, 0x18, 0xE0, 0xFF},
    {0x19, 0x19, 0x00, 0x20}, {0x56, 0x5F, 0x00, 0xFF}, {0x62, 0x62, 0x00, 0x09},
    {0x73, 0x75, 0x00, 0xFF},
};

// Bits of kStatus.
constexpr std::uint8_t kAccelerometerReady = 1 << 0;
constexpr std::uint8_t kGyroscopeReady = 1 << 1;
constexpr std::uint8_t kTemperatureReady = 1 << 2;
constexpr std::uint8_t kWakeUp = 1 << 3;        // Of kWakeUpSource.
constexpr std::uint8_t kRouteWakeUp = 1 << 5;   // Of kRouting1.
constexpr std::uint8_t kFifoInterrupts = 0x38;  // Of kInterrupt1: watermark, overrun, full.

constexpr std::size_t kWordSize = 7;  // Of the FIFO: a tag and three axes.
constexpr std::size_t kWords = 512;
constexpr double kStandardGravity = 9.80665;
constexpr std::uint64_t kTimestampTick = 25'000;  // ns

enum Tag : std::uint8_t { kTagGyroscope = 1, kTagAccelerometer = 2, kTagTimestamp = 4 };

std::uint64_t period_of_code(int code) {
  constexpr std::uint64_t kMillihertz[] = {0,         12'500,    26'000,    52'000,
                                           104'000,   208'000,   416'000,   833'000,
                                           1'667'000, 3'333'000, 6'667'000, 1'600};
  return code == 0 || code > 11 ? 0 : period_of(kMillihertz[code]);
}

class Lsm6dso final : public ByteChip {
 public:
  Lsm6dso(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  using Axes = std::array<std::int16_t, 3>;

  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  std::uint8_t next(std::uint8_t address) override;
  void advance(std::uint64_t now) override;
  void update_outputs() override;
  void exchange(StateFields& state) override {
    accelerometer_.exchange(state);
    gyroscope_.exchange(state);
    fifo_.exchange(state);
    state.fields(page_, previous_);
    state.past(timestamp_start_);
    state.limited(slot_, 3, "as a slot");
    state.fields(samples_, overrun_, new_samples_);
  }

  void take(std::uint64_t time, bool accelerates, bool rotates);
  Axes take_acceleration(std::uint64_t time);
  Axes take_angular_velocity(std::uint64_t time);
  void look_for_wake_up(const Axes& values);
  void push(Tag tag, const std::array<std::uint8_t, 6>& contents);
  void push(Tag tag, const Axes& values);
  bool batches(int odr, int batch_rate) const;
  bool has_fifo() const { return (at(kFifoControl4) & 7) != 0; }
  std::uint32_t timestamp(std::uint64_t time) const {
    return static_cast<std::uint32_t>((time - timestamp_start_) / kTimestampTick);
  }
  std::uint16_t fifo_status() const;
  bool interrupt_pending() const;
  void set_clocks();

  SampleClock accelerometer_;
  SampleClock gyroscope_;
  ByteFifo fifo_{kWords * kWordSize};
  std::array<std::uint8_t, 256> page_{};  // Registers of the other pages.
  Axes previous_{};                       // Acceleration, for its slope.
  std::uint64_t timestamp_start_ = 0;
  std::uint8_t slot_ = 0;      // Two bits that tell instants apart in the FIFO's tags.
  std::uint32_t samples_ = 0;  // Instants, for batches that are slower.
  bool overrun_ = false;
  std::uint8_t new_samples_ = 0;  // Bits of kStatus, since the output was last updated.
};

void Lsm6dso::advance(std::uint64_t now) {
  const std::uint64_t history = has_fifo() ? kWords : 1;
  std::vector<std::uint64_t> accelerations;
  std::vector<std::uint64_t> rotations;
  accelerometer_.take(now, history, [&](std::uint64_t t) { accelerations.push_back(t); });
  gyroscope_.take(now, history, [&](std::uint64_t t) { rotations.push_back(t); });
  std::size_t a = 0;
  std::size_t r = 0;
  while (a < accelerations.size() || r < rotations.size()) {
    const std::uint64_t time = a == accelerations.size() ? rotations[r]
                               : r == rotations.size()   ? accelerations[a]
                                                         : std::min(accelerations[a], rotations[r]);
    const bool accelerates = a < accelerations.size() && accelerations[a] == time;
    const bool rotates = r < rotations.size() && rotations[r] == time;
    take(time, accelerates, rotates);
    a += accelerates ? 1 : 0;
    r += rotates ? 1 : 0;
  }
}

void Lsm6dso::take(std::uint64_t time, bool accelerates, bool rotates) {
  const Axes acceleration = accelerates ? take_acceleration(time) : Axes{};
  const Axes rotation = rotates ? take_angular_velocity(time) : Axes{};
  const double celsius = host().measure(Quantity::kTemperature, time) - 273.15;
  put_low_first(kTemperature, as_word(quantize<std::int16_t>(celsius - 25, 1.0 / 256)));
  const auto ready = static_cast<std::uint8_t>((accelerates ? kAccelerometerReady : 0) |
                                               (rotates ? kGyroscopeReady : 0) | kTemperatureReady);
  at(kStatus) |= ready;
  new_samples_ |= ready;
  if (!has_fifo()) {
    return;
  }
  const std::uint8_t batch = at(kFifoControl3);
  const bool keep_acceleration =
      accelerates && batches(at(kAccelerometerControl) >> 4, batch & 0x0F);
  const bool keep_rotation = rotates && batches(at(kGyroscopeControl) >> 4, batch >> 4);
  ++samples_;
  if (!keep_acceleration && !keep_rotation) {
    return;
  }
  slot_ = (slot_ + 1) & 3;
  constexpr unsigned kEvery[] = {0, 1, 8, 32};
  const unsigned every = kEvery[at(kFifoControl4) >> 6];
  if (every != 0 && samples_ % every == 0 && (at(kControl10) & 0x20) != 0) {
    const std::uint32_t stamp = timestamp(time);
    push(kTagTimestamp,
         {static_cast<std::uint8_t>(stamp), static_cast<std::uint8_t>(stamp >> 8),
          static_cast<std::uint8_t>(stamp >> 16), static_cast<std::uint8_t>(stamp >> 24), 0, 0});
  }
  if (keep_rotation) {
    push(kTagGyroscope, rotation);
  }
  if (keep_acceleration) {
    push(kTagAccelerometer, acceleration);
  }
}

// Whether this instant's sample goes to the FIFO: all do, or a part at a lower batch rate.
bool Lsm6dso::batches(int odr, int batch_rate) const {
  if (batch_rate == 0) {
    return false;
  }
  const int slower = std::clamp(odr - batch_rate, 0, 10);
  return samples_ % (1U << slower) == 0;
}

Lsm6dso::Axes Lsm6dso::take_acceleration(std::uint64_t time) {
  constexpr double kSteps[] = {0.061e-3, 0.488e-3, 0.122e-3, 0.244e-3};  // g
  const double step = kSteps[at(kAccelerometerControl) >> 2 & 3] * kStandardGravity;
  const int test = at(kSelfTest) & 3;
  const double push = test == 1 ? 0.5 : test == 2 ? -0.5 : 0;  // g, within the data sheet's limits.
  constexpr Quantity kAxes[] = {Quantity::kAccelerationX, Quantity::kAccelerationY,
                                Quantity::kAccelerationZ};
  Axes values{};
  for (std::uint8_t axis = 0; axis < 3; ++axis) {
    values[axis] =
        quantize<std::int16_t>(host().measure(kAxes[axis], time) + push * kStandardGravity, step);
    put_low_first(static_cast<std::uint8_t>(kAccelerometerData + 2 * axis), as_word(values[axis]));
  }
  look_for_wake_up(values);
  return values;
}

Lsm6dso::Axes Lsm6dso::take_angular_velocity(std::uint64_t time) {
  const std::uint8_t control = at(kGyroscopeControl);
  const double millidegrees = (control & 2) != 0 ? 4.375 : 8.75 * (1 << (control >> 2 & 3));
  const double step = millidegrees / 1000 * std::numbers::pi / 180;
  const int test = at(kSelfTest) >> 2 & 3;
  const double push = test == 1 ? 5.0 : test == 3 ? -5.0 : 0;  // rad/s
  constexpr Quantity kAxes[] = {Quantity::kAngularVelocityX, Quantity::kAngularVelocityY,
                                Quantity::kAngularVelocityZ};
  Axes values{};
  for (std::uint8_t axis = 0; axis < 3; ++axis) {
    values[axis] = quantize<std::int16_t>(host().measure(kAxes[axis], time) + push, step);
    put_low_first(static_cast<std::uint8_t>(kGyroscopeData + 2 * axis), as_word(values[axis]));
  }
  return values;
}

// The threshold is in 64ths or 256ths of the full scale.
void Lsm6dso::look_for_wake_up(const Axes& values) {
  const int step = (at(kWakeUpDuration) & 0x10) != 0 ? 128 : 512;
  const int threshold = std::max(at(kWakeUpThreshold) & 0x3F, 1) * step;
  std::uint8_t source = 0;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (std::abs(values[axis] - previous_[axis]) > threshold) {
      source |= static_cast<std::uint8_t>(kWakeUp | 4U >> axis);
    }
  }
  previous_ = values;
  const bool enabled = (at(kTapConfiguration2) & 0x80) != 0;
  const bool latches = (at(kTapConfiguration0) & 1) != 0;
  if (enabled && source != 0) {
    at(kWakeUpSource) = source;
  } else if (!latches) {
    at(kWakeUpSource) = 0;
  }
}

void Lsm6dso::push(Tag tag, const Axes& values) {
  std::array<std::uint8_t, 6> contents{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    contents[2 * axis] = static_cast<std::uint8_t>(values[axis]);
    contents[2 * axis + 1] = static_cast<std::uint8_t>(as_word(values[axis]) >> 8);
  }
  push(tag, contents);
}

void Lsm6dso::push(Tag tag, const std::array<std::uint8_t, 6>& contents) {
  constexpr int kUntilFull = 1;
  if ((at(kFifoControl4) & 7) == kUntilFull && !fifo_.fits(kWordSize)) {
    overrun_ = true;
    return;
  }
  const auto head = static_cast<std::uint8_t>(tag << 3 | slot_ << 1);
  std::array<std::uint8_t, kWordSize> word{};
  word[0] = static_cast<std::uint8_t>(head | (std::popcount(head) & 1));  // Even parity.
  std::ranges::copy(contents, word.begin() + 1);
  overrun_ |= fifo_.push(word);
}

std::uint16_t Lsm6dso::fifo_status() const {
  const std::size_t words = fifo_.frames();
  const std::size_t watermark = at(kFifoControl1) | (at(kFifoControl1 + 1) & 1U) << 8;
  const bool reached = watermark != 0 && words >= watermark;
  return static_cast<std::uint16_t>(words | (reached ? 1U << 15 : 0U) | (overrun_ ? 1U << 14 : 0U) |
                                    (words == kWords ? 1U << 13 : 0U));
}

std::uint8_t Lsm6dso::next(std::uint8_t address) {
  constexpr std::uint8_t kAutoIncrement = 1 << 2;
  if ((at(kControl3) & kAutoIncrement) == 0) {
    return address;
  }
  return address == kFifoLast ? static_cast<std::uint8_t>(kFifoTag)
                              : static_cast<std::uint8_t>(address + 1);
}

std::uint8_t Lsm6dso::load(std::uint8_t address) {
  if (address != kPage && at(kPage) != 0) {
    return page_[address];
  }
  if (address >= kFifoTag && address <= kFifoLast) {
    const std::uint8_t value = fifo_.pop(0);
    overrun_ = overrun_ && !fifo_.empty();
    return value;
  }
  if (address == kFifoStatus || address == kFifoStatus + 1) {
    return static_cast<std::uint8_t>(fifo_status() >> (8 * (address - kFifoStatus)));
  }
  if (address >= kTimestamp && address < kTimestamp + 4) {
    return static_cast<std::uint8_t>(timestamp(host().now()) >> (8 * (address - kTimestamp)));
  }
  const std::uint8_t value = at(address);
  if (address >= kTemperature && address < kAccelerometerData + 6) {
    const std::uint8_t read = address < kGyroscopeData       ? kTemperatureReady
                              : address < kAccelerometerData ? kGyroscopeReady
                                                             : kAccelerometerReady;
    at(kStatus) &= static_cast<std::uint8_t>(~read);
  } else if (address == kWakeUpSource) {
    at(kWakeUpSource) = 0;
  }
  return value;
}

void Lsm6dso::store(std::uint8_t address, std::uint8_t value) {
  constexpr std::uint8_t kSoftReset = 1 << 0, kClearTimestamp = 0xAA;
  if (address != kPage && at(kPage) != 0) {
    page_[address] = value;
    return;
  }
  ByteChip::store(address, value);
  if (address == kControl3 && (value & kSoftReset) != 0) {
    reset_registers();
    page_.fill(0);
  } else if (address == kTimestamp + 2 && value == kClearTimestamp) {
    timestamp_start_ = host().now();
  }
  if (!has_fifo()) {
    fifo_.clear();
    overrun_ = false;
    samples_ = 0;
  }
  set_clocks();
}

// Samples are taken at multiples of their period, so those of both sensors come together.
void Lsm6dso::set_clocks() {
  const std::uint64_t now = host().now();
  const auto set = [now](SampleClock& clock, std::uint64_t period) {
    if (period == 0) {
      clock.stop();
    } else if (period != clock.period()) {
      clock.start(now - now % period, period);
    }
  };
  set(accelerometer_, period_of_code(at(kAccelerometerControl) >> 4));
  set(gyroscope_, period_of_code(at(kGyroscopeControl) >> 4));
}

bool Lsm6dso::interrupt_pending() const {
  const std::uint8_t control = at(kInterrupt1);
  const std::uint16_t fifo = fifo_status();
  return (control & at(kStatus) & (kAccelerometerReady | kGyroscopeReady)) != 0 ||
         ((control & 0x08) != 0 && (fifo & 1 << 15) != 0) ||
         ((control & 0x10) != 0 && (fifo & 1 << 14) != 0) ||
         ((control & 0x20) != 0 && (fifo & 1 << 13) != 0) ||
         ((at(kRouting1) & kRouteWakeUp) != 0 && (at(kWakeUpSource) & kWakeUp) != 0);
}

void Lsm6dso::update_outputs() {
  const bool active_low = (at(kControl3) & 0x20) != 0;
  const bool pending = interrupt_pending();
  if ((new_samples_ & at(kInterrupt1) & (kAccelerometerReady | kGyroscopeReady)) != 0) {
    host().drive_interrupt(active_low);  // Each sample is an edge, read or not.
  }
  new_samples_ = 0;
  host().drive_interrupt(pending != active_low);
  const bool both = (at(kInterrupt1) & kFifoInterrupts) != 0;
  const bool wakes = (at(kRouting1) & kRouteWakeUp) != 0 && (at(kTapConfiguration2) & 0x80) != 0;
  std::optional<std::uint64_t> time;
  if (both || wakes || (at(kInterrupt1) & kAccelerometerReady) != 0) {
    time = accelerometer_.next();
  }
  if (const auto other = gyroscope_.next();
      (both || (at(kInterrupt1) & kGyroscopeReady) != 0) && other && (!time || *other < *time)) {
    time = other;
  }
  host().wake_at(time);
}

constexpr std::string_view kMeasures[] = {"acceleration", "angular-velocity"};
constexpr std::uint8_t kAddresses[] = {0x6A, 0x6B};

}  // namespace

extern const ChipModel kLsm6dso = {
    .name = "lsm6dso",
    .role = ChipRole::kSensor,
    .compatible = "st,lsm6dso",
    .acpi_id = "",
    .interrupt = ChipInterrupt::kEdgeRising,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Lsm6dso>,
};

}  // namespace ensemble::device
