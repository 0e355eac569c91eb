// Texas Instruments DRV2605L: haptics driver. Registers as data sheet SLOS854 has them and Linux's
// drv260x uses them. What it plays is told by its registers alone: the GO bit stands as long as the
// sequence lasts.

#include <algorithm>
#include <array>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kStatus = 0x00,
  kMode = 0x01,
  kSequence = 0x04,
  kGo = 0x0C,
  kBattery = 0x21,
  kResonance = 0x22,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {0x00, 0x00, 0xE0, 0x00}, {0x01, 0x01, 0x40, 0xC7}, {0x02, 0x02, 0x00, 0xFF},
    {0x03, 0x03, 0x01, 0x17}, {0x04, 0x04, 0x01, 0xFF}, {0x05, 0x0B, 0x00, 0xFF},
    {0x0C, 0x0C, 0x00, 0x01}, {0x0D, 0x10, 0x00, 0xFF}, {0x11, 0x11, 0x05, 0x0F},
    {0x12, 0x12, 0x19, 0xFF}, {0x13, 0x13, 0xFF, 0xFF}, {0x14, 0x14, 0x19, 0xFF},
    {0x15, 0x15, 0xFF, 0xFF}, {0x16, 0x16, 0x3E, 0xFF}, {0x17, 0x17, 0x8C, 0xFF},
    {0x18, 0x18, 0x0C, 0xFF}, {0x19, 0x19, 0x6C, 0xFF}, {0x1A, 0x1A, 0x36, 0xFF},
    {0x1B, 0x1B, 0x93, 0xFF}, {0x1C, 0x1C, 0xF5, 0xFF}, {0x1D, 0x1D, 0xA0, 0xFF},
    {0x1E, 0x1E, 0x20, 0x37}, {0x1F, 0x1F, 0x80, 0xFF}, {0x20, 0x20, 0x33, 0x7F},
    {0x22, 0x22, 0x7D, 0x00},  // 81 Hz in steps of 98.46 µs a period.
};

constexpr std::uint8_t kDeviceReset = 1 << 7;       // Of kMode.
constexpr std::uint8_t kStandby = 1 << 6;           // Of kMode.
constexpr std::uint8_t kDiagnosticFailed = 1 << 3;  // Of kStatus.

enum Mode { kInternalTrigger = 0, kRealTime = 5, kDiagnostics = 6, kCalibration = 7 };

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kEffectTime = 200 * kMillisecond;       // Of an effect of the library.
constexpr std::uint64_t kCalibrationTime = 500 * kMillisecond;  // As the reset AUTO_CAL_TIME says.

class Drv2605l final : public ByteChip {
 public:
  Drv2605l(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  void advance(std::uint64_t now) override {
    if (at(kGo) != 0 && now >= end_) {
      at(kGo) = 0;
    }
  }
  void exchange(StateFields& state) override { state.deadline(end_); }

  void go();
  std::uint64_t sequence_time() const;

  std::uint64_t end_ = 0;  // When what GO started ends.
};

// Each of the eight places is an effect, or a pause of 10 ms per step; an empty one ends.
std::uint64_t Drv2605l::sequence_time() const {
  std::uint64_t time = 0;
  for (std::uint8_t place = 0; place < 8; ++place) {
    const std::uint8_t value = at(static_cast<std::uint8_t>(kSequence + place));
    if (value == 0) {
      break;
    }
    time += (value & 0x80) != 0 ? (value & 0x7F) * 10 * kMillisecond : kEffectTime;
  }
  return time;
}

void Drv2605l::go() {
  const int mode = at(kMode) & 7;
  if ((at(kMode) & kStandby) != 0) {
    at(kGo) = 0;
    return;
  }
  if (mode == kDiagnostics || mode == kCalibration) {
    at(kStatus) &= static_cast<std::uint8_t>(~kDiagnosticFailed);
    end_ = host().now() + kCalibrationTime;
  } else if (mode == kInternalTrigger) {
    end_ = host().now() + sequence_time();
  }
}

std::uint8_t Drv2605l::load(std::uint8_t address) {
  if (address == kBattery) {
    constexpr double kFullScale = 5.6;  // V, of 255 steps.
    return quantize<std::uint8_t>(host().measure(Quantity::kBatteryVoltage, host().now()),
                                  kFullScale / 255);
  }
  return at(address);
}

void Drv2605l::store(std::uint8_t address, std::uint8_t value) {
  ByteChip::store(address, value);
  if (address == kMode && (value & kDeviceReset) != 0) {
    reset_registers();
  } else if (address == kMode && (value & kStandby) != 0) {
    at(kGo) = 0;
  } else if (address == kGo && (value & 1) != 0) {
    go();
  }
}

constexpr std::uint8_t kAddresses[] = {0x5A};

}  // namespace

extern const ChipModel kDrv2605l = {
    .name = "drv2605l",
    .role = ChipRole::kHaptics,
    .compatible = "ti,drv2605l",
    .acpi_id = "",
    .interrupt = ChipInterrupt::kNone,
    .measures = {},
    .addresses = kAddresses,
    .make = make_chip<Drv2605l>,
};

}  // namespace ensemble::device
