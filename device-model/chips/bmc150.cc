// Bosch BMC150: its accelerometer. Registers as the data sheet BST-BMC150-DS000 has them, of which
// Linux's bmc150-accel uses identity, modes, bandwidth, ranges, data, FIFO, and the data-ready,
// watermark and slope interrupts.

#include <algorithm>
#include <array>
#include <cmath>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/byte_fifo.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kChipId = 0x00,
  kData = 0x02,
  kTemperature = 0x08,
  kInterruptStatus0 = 0x09,
  kInterruptStatus1 = 0x0A,
  kInterruptStatus2 = 0x0B,
  kFifoStatus = 0x0E,
  kRange = 0x0F,
  kBandwidth = 0x10,
  kPower = 0x11,
  kSoftReset = 0x14,
  kInterruptEnable0 = 0x16,
  kInterruptEnable1 = 0x17,
  kInterruptMap0 = 0x19,
  kInterruptMap1 = 0x1A,
  kInterruptOutput = 0x20,
  kInterruptLatch = 0x21,
  kSlopeDuration = 0x27,
  kSlopeThreshold = 0x28,
  kFifoWatermark = 0x30,
  kSelfTest = 0x32,
  kFifoMode = 0x3E,
  kFifoData = 0x3F,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {0x00, 0x00, 0xFA, 0x00}, {0x0F, 0x0F, 0x03, 0x0F}, {0x10, 0x10, 0x0F, 0x1F},
    {0x11, 0x11, 0x00, 0xFE}, {0x12, 0x12, 0x00, 0x60}, {0x13, 0x13, 0x00, 0xC0},
    {0x16, 0x16, 0x00, 0xF7}, {0x17, 0x17, 0x00, 0x7F}, {0x18, 0x18, 0x00, 0x0F},
    {0x19, 0x1B, 0x00, 0xFF}, {0x1E, 0x1E, 0x00, 0x3F}, {0x20, 0x20, 0x05, 0x0F},
    {0x21, 0x21, 0x00, 0x0F}, {0x22, 0x22, 0x09, 0xFF}, {0x23, 0x23, 0x30, 0xFF},
    {0x24, 0x24, 0x81, 0xFF}, {0x25, 0x25, 0x0F, 0xFF}, {0x26, 0x26, 0xC0, 0xFF},
    {0x27, 0x27, 0x00, 0xFF}, {0x28, 0x29, 0x14, 0xFF}, {0x2A, 0x2A, 0x04, 0xFF},
    {0x2B, 0x2B, 0x0A, 0xFF}, {0x2C, 0x2C, 0x18, 0xFF}, {0x2D, 0x2D, 0x48, 0xFF},
    {0x2E, 0x2E, 0x08, 0xFF}, {0x2F, 0x2F, 0x11, 0xFF}, {0x30, 0x30, 0x00, 0x3F},
    {0x32, 0x32, 0x00, 0x1F}, {0x33, 0x33, 0xF0, 0x0F}, {0x34, 0x34, 0x00, 0x07},
    {0x36, 0x36, 0x10, 0x67}, {0x37, 0x3D, 0x00, 0xFF}, {0x3E, 0x3E, 0x00, 0xC3},
};

// Bits of kInterruptStatus0 and kInterruptStatus1.
constexpr std::uint8_t kSlope = 1 << 2;
constexpr std::uint8_t kFifoFull = 1 << 5;
constexpr std::uint8_t kFifoAtWatermark = 1 << 6;
constexpr std::uint8_t kDataReady = 1 << 7;

constexpr std::size_t kFrameSize = 6;
constexpr std::size_t kFrames = 32;
constexpr double kStandardGravity = 9.80665;

class Bmc150 final : public ByteChip {
 public:
  Bmc150(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {
    set_clock();
  }

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  std::uint8_t next(std::uint8_t address) override {
    return address == kFifoData ? address : static_cast<std::uint8_t>(address + 1);
  }
  void advance(std::uint64_t now) override {
    clock_.take(now, kFrames + 1, [this](std::uint64_t time) { take(time); });
  }
  void update_outputs() override;
  void exchange(StateFields& state) override {
    clock_.exchange(state);
    fifo_.exchange(state);
    for (int& value : previous_) {
      state.field(value);
      state.require(value >= -2048 && value <= 2047, "holds an acceleration of more than 12 bits");
    }
    state.limited(slope_run_, 8, "samples in a row");
    state.fields(overrun_, new_sample_);
  }

  void take(std::uint64_t time);
  void look_for_slope(const std::array<int, 3>& values);
  void keep_in_fifo();
  void set_clock();
  bool latches() const { return (at(kInterruptLatch) & 7) == 7; }
  std::size_t frames() const { return fifo_.frames(); }
  std::uint8_t enabled_interrupts() const;

  SampleClock clock_;
  ByteFifo fifo_{kFrames * kFrameSize};
  std::array<int, 3> previous_{};
  std::uint8_t slope_run_ = 0;  // Samples with a slope above the threshold.
  bool overrun_ = false;
  bool new_sample_ = false;  // Since the output was last updated.
};

void Bmc150::take(std::uint64_t time) {
  const std::uint8_t range = at(kRange);
  const int full_scale = range == 0x05 ? 4 : range == 0x08 ? 8 : range == 0x0C ? 16 : 2;  // g
  const double step = full_scale * kStandardGravity / 2048;
  const std::uint8_t test = at(kSelfTest);
  constexpr Quantity kAxes[] = {Quantity::kAccelerationX, Quantity::kAccelerationY,
                                Quantity::kAccelerationZ};
  std::array<int, 3> values{};
  for (std::uint8_t axis = 0; axis < 3; ++axis) {
    // A self-test pushes one axis by half of what a test asks for between both signs, and more.
    const double push = (test & 3) == axis + 1 ? ((test & 4) != 0 ? -0.5 : 0.5) : 0;
    const double value = host().measure(kAxes[axis], time) + push * kStandardGravity;
    values[axis] = static_cast<int>(std::clamp(std::round(value / step), -2048.0, 2047.0));
    // Twelve bits at the top, and whether they are new.
    put_low_first(static_cast<std::uint8_t>(kData + 2 * axis),
                  static_cast<std::uint16_t>(values[axis] << 4 | 1));
  }
  const double celsius = host().measure(Quantity::kTemperature, time) - 273.15;
  at(kTemperature) = static_cast<std::uint8_t>(quantize<std::int8_t>(celsius - 24, 0.5));
  at(kInterruptStatus1) |= kDataReady;
  new_sample_ = true;
  look_for_slope(values);
  keep_in_fifo();
}

// A step of the threshold is a step of 10 bits, whatever the range; values have 12.
void Bmc150::look_for_slope(const std::array<int, 3>& values) {
  const int threshold = std::max<int>(at(kSlopeThreshold), 1) * 4;
  std::uint8_t first = 0;
  for (unsigned axis = 0; axis < 3; ++axis) {
    const int slope = values[axis] - previous_[axis];
    if ((at(kInterruptEnable0) >> axis & 1) != 0 && std::abs(slope) > threshold) {
      first = static_cast<std::uint8_t>(1U << axis | (slope < 0 ? 8U : 0U));
    }
  }
  previous_ = values;
  slope_run_ = first != 0 ? static_cast<std::uint8_t>(std::min(slope_run_ + 1, 8)) : 0;
  if (slope_run_ > (at(kSlopeDuration) & 3)) {
    at(kInterruptStatus0) |= kSlope;
    at(kInterruptStatus2) = first;
  } else if (!latches()) {
    at(kInterruptStatus0) &= static_cast<std::uint8_t>(~kSlope);
  }
}

void Bmc150::keep_in_fifo() {
  const int mode = at(kFifoMode) >> 6;  // 0: off, 1: until full, 2: the latest.
  if (mode == 0) {
    return;
  }
  if (mode == 1 && !fifo_.fits(kFrameSize)) {
    overrun_ = true;
    return;
  }
  std::array<std::uint8_t, kFrameSize> frame{};
  for (std::uint8_t i = 0; i < kFrameSize; ++i) {
    frame[i] = at(static_cast<std::uint8_t>(kData + i));
  }
  overrun_ |= fifo_.push(frame);
  const std::size_t watermark = at(kFifoWatermark) & 0x3F;
  at(kInterruptStatus1) |=
      static_cast<std::uint8_t>((frames() == kFrames ? kFifoFull : 0) |
                                (watermark != 0 && frames() >= watermark ? kFifoAtWatermark : 0));
}

std::uint8_t Bmc150::load(std::uint8_t address) {
  if (address == kFifoStatus) {
    return static_cast<std::uint8_t>(frames() | (overrun_ ? 0x80U : 0U));
  }
  if (address == kFifoData) {
    const std::uint8_t value = fifo_.pop(0);
    if (frames() < (at(kFifoWatermark) & 0x3FU) || fifo_.empty()) {
      at(kInterruptStatus1) &= static_cast<std::uint8_t>(~(kFifoFull | kFifoAtWatermark));
    }
    return value;
  }
  const std::uint8_t value = at(address);
  if (address >= kData && address < kTemperature) {
    at(static_cast<std::uint8_t>(address & ~1U)) &= 0xFE;
    at(kInterruptStatus1) &= static_cast<std::uint8_t>(~kDataReady);
  }
  return value;
}

void Bmc150::store(std::uint8_t address, std::uint8_t value) {
  constexpr std::uint8_t kResetCommand = 0xB6, kResetLatched = 0x80;
  if (address == kSoftReset) {
    if (value == kResetCommand) {
      reset_registers();
      fifo_.clear();
      overrun_ = false;
      slope_run_ = 0;
      set_clock();
    }
    return;
  }
  ByteChip::store(address, value);
  if (address == kBandwidth || address == kPower) {
    set_clock();
  } else if (address == kInterruptLatch && (value & kResetLatched) != 0) {
    at(kInterruptStatus0) = 0;
    at(kInterruptStatus1) = 0;
    at(kInterruptStatus2) = 0;
  } else if (address == kFifoMode || address == kFifoWatermark) {
    fifo_.clear();
    overrun_ = false;
  }
}

// Twice the bandwidth; in low-power mode once in each time of sleep.
void Bmc150::set_clock() {
  constexpr std::uint8_t kSuspend = 1 << 7, kLowPower = 1 << 6, kDeepSuspend = 1 << 5;
  const std::uint8_t power = at(kPower);
  if ((power & (kSuspend | kDeepSuspend)) != 0) {
    clock_.stop();
    return;
  }
  const int code = std::clamp(at(kBandwidth) & 0x1F, 0x08, 0x0F);
  std::uint64_t period = 500'000ULL << (0x0F - code);  // ns; the fastest is 2 kHz.
  if ((power & kLowPower) != 0) {
    constexpr std::uint64_t kSleepMicroseconds[] = {
        500,  500,  500,    500,    500,    500,     1000,    2000,
        4000, 6000, 10'000, 25'000, 50'000, 100'000, 500'000, 1'000'000};
    period = std::max(period, kSleepMicroseconds[power >> 1 & 0x0F] * 1000);
  }
  clock_.set(host().now(), period);
}

// Those that are enabled and led to the output INT1, as bits of kInterruptStatus1 and kSlope.
std::uint8_t Bmc150::enabled_interrupts() const {
  const std::uint8_t map = at(kInterruptMap1);
  const std::uint8_t enable = at(kInterruptEnable1);
  const bool data = (map & 1) != 0 && (enable & 0x10) != 0;
  const bool watermark = (map & 2) != 0 && (enable & 0x40) != 0;
  const bool full = (map & 4) != 0 && (enable & 0x20) != 0;
  const bool slope = (at(kInterruptMap0) & kSlope) != 0 && (at(kInterruptEnable0) & 7) != 0;
  return static_cast<std::uint8_t>((data ? kDataReady : 0) | (watermark ? kFifoAtWatermark : 0) |
                                   (full ? kFifoFull : 0) | (slope ? kSlope : 0));
}

void Bmc150::update_outputs() {
  const std::uint8_t enabled = enabled_interrupts();
  const int pending =
      (at(kInterruptStatus1) & enabled & ~kSlope) | (at(kInterruptStatus0) & enabled & kSlope);
  const bool active_high = (at(kInterruptOutput) & 1) != 0;
  if (new_sample_ && (pending & kDataReady) != 0 && !latches()) {
    host().drive_interrupt(!active_high);  // Each sample is an edge, read or not.
  }
  new_sample_ = false;
  host().drive_interrupt((pending != 0) == active_high);
  host().wake_at(enabled != 0 ? clock_.next() : std::nullopt);
}

constexpr std::string_view kMeasures[] = {"acceleration"};
constexpr std::uint8_t kAddresses[] = {0x10, 0x11};

}  // namespace

extern const ChipModel kBmc150 = {
    .name = "bmc150",
    .role = ChipRole::kSensor,
    .compatible = "bosch,bmc150_accel",
    .acpi_id = "BOSC0200",
    .interrupt = ChipInterrupt::kEdgeRising,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Bmc150>,
};

}  // namespace ensemble::device
