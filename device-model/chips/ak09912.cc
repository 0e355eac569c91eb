// Asahi Kasei AK09912: magnetometer. Registers as its data sheet and Linux's ak8975 driver have
// them.

#include <array>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kCompany = 0x00,
  kDevice = 0x01,
  kStatus1 = 0x10,
  kData = 0x11,
  kTemperature = 0x17,
  kStatus2 = 0x18,
  kControl1 = 0x30,
  kControl2 = 0x31,
  kControl3 = 0x32,
  kSensitivity = 0x60,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {kCompany, kCompany, 0x48, 0},      {kDevice, kDevice, 0x04, 0},
    {kControl1, kControl1, 0x00, 0xFF}, {kControl2, kControl2, 0x00, 0xDF},
    {kControl3, kControl3, 0x00, 0x01}, {kSensitivity, 0x62, 0x80, 0},
};

constexpr std::uint8_t kDataReady = 1 << 0;    // Of kStatus1.
constexpr std::uint8_t kDataOverrun = 1 << 1;  // Of kStatus1.
constexpr std::uint8_t kOverflow = 1 << 3;     // Of kStatus2.

enum Mode : std::uint8_t { kPowerDown = 0, kSingle = 1, kSelfTest = 0x10 };

constexpr double kStep = 0.15e-6;  // T, with the sensitivity words as they are.
constexpr int kMost = 32752;
constexpr std::uint64_t kMeasurementTime = 7'200'000;  // ns

std::uint64_t continuous_period(std::uint8_t mode) {
  switch (mode) {
    case 0x02:
      return period_of(10'000);
    case 0x04:
      return period_of(20'000);
    case 0x06:
      return period_of(50'000);
    case 0x08:
      return period_of(100'000);
    default:
      return 0;
  }
}

class Ak09912 final : public ByteChip {
 public:
  Ak09912(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  // Data are read in circles, as are the other groups.
  std::uint8_t next(std::uint8_t address) override {
    switch (address) {
      case kStatus2:
        return kStatus1;
      case kControl3:
        return kControl1;
      case kSensitivity + 2:
        return kSensitivity;
      default:
        return static_cast<std::uint8_t>(address + 1);
    }
  }
  void advance(std::uint64_t now) override {
    clock_.take(now, 2, [this](std::uint64_t time) { take(time); });
  }
  void update_outputs() override;
  void exchange(StateFields& state) override { clock_.exchange(state); }

  std::uint8_t mode() const { return at(kControl2) & 0x1F; }
  void take(std::uint64_t time);

  SampleClock clock_;
};

void Ak09912::take(std::uint64_t time) {
  const bool tests = mode() == kSelfTest;
  // A self-test measures a field of the chip's own, within the limits of the data sheet.
  constexpr std::array<std::int16_t, 3> kTestField = {0, 0, -500};
  constexpr Quantity kAxes[] = {Quantity::kMagneticFieldX, Quantity::kMagneticFieldY,
                                Quantity::kMagneticFieldZ};
  bool overflows = false;
  for (std::uint8_t axis = 0; axis < 3; ++axis) {
    std::int16_t value = kTestField[axis];
    if (!tests) {
      value = quantize<std::int16_t>(host().measure(kAxes[axis], time), kStep);
      overflows |= value > kMost || value < -kMost;
    }
    put_low_first(static_cast<std::uint8_t>(kData + 2 * axis), as_word(value));
  }
  const double celsius = host().measure(Quantity::kTemperature, time) - 273.15;
  at(kTemperature) = static_cast<std::uint8_t>(quantize<std::int8_t>(35 - celsius, 0.625));
  at(kStatus1) |=
      static_cast<std::uint8_t>(kDataReady | ((at(kStatus1) & kDataReady) != 0 ? kDataOverrun : 0));
  at(kStatus2) = overflows ? kOverflow : 0;
  if (continuous_period(mode()) == 0) {
    at(kControl2) = kPowerDown;
    clock_.stop();
  }
}

std::uint8_t Ak09912::load(std::uint8_t address) {
  const std::uint8_t value = at(address);
  if (address >= kData && address <= kStatus2) {
    at(kStatus1) = 0;
  }
  return value;
}

void Ak09912::store(std::uint8_t address, std::uint8_t value) {
  if (address == kControl3 && (value & 1) != 0) {
    reset_registers();
    clock_.stop();
    return;
  }
  ByteChip::store(address, value);
  if (address != kControl2) {
    return;
  }
  const bool once = mode() == kSingle || mode() == kSelfTest;
  const std::uint64_t period = once ? kMeasurementTime : continuous_period(mode());
  clock_.stop();
  clock_.set(host().now(), period);
}

// The data-ready output, which needs no enabling.
void Ak09912::update_outputs() {
  host().drive_interrupt((at(kStatus1) & kDataReady) != 0);
  host().wake_at(clock_.next());
}

constexpr std::string_view kMeasures[] = {"magnetic-field"};
constexpr std::uint8_t kAddresses[] = {0x0C, 0x0D, 0x0E, 0x0F};

}  // namespace

extern const ChipModel kAk09912 = {
    .name = "ak09912",
    .role = ChipRole::kSensor,
    .compatible = "asahi-kasei,ak09912",
    .acpi_id = "AK09912",
    .interrupt = ChipInterrupt::kEdgeRising,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Ak09912>,
};

}  // namespace ensemble::device
