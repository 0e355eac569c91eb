// STMicroelectronics LPS22HB: pressure and temperature. Registers as its data sheet has them, of
// which Linux's st_pressure uses identity, rates, block data update, data and the data-ready
// interrupt.

#include <algorithm>
#include <array>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/byte_fifo.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kInterruptConfiguration = 0x0B,
  kThreshold = 0x0C,
  kIdentity = 0x0F,
  kControl1 = 0x10,
  kControl2 = 0x11,
  kControl3 = 0x12,
  kFifoControl = 0x14,
  kInterruptSource = 0x25,
  kFifoStatus = 0x26,
  kStatus = 0x27,
  kPressure = 0x28,
  kTemperature = 0x2B,
  kLastData = 0x2C,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {0x0B, 0x0B, 0x00, 0xFF}, {0x0C, 0x0D, 0x00, 0xFF}, {0x0F, 0x0F, 0xB1, 0x00},
    {0x10, 0x10, 0x00, 0x7F}, {0x11, 0x11, 0x10, 0xFD}, {0x12, 0x12, 0x00, 0xFF},
    {0x14, 0x14, 0x00, 0xFF}, {0x15, 0x19, 0x00, 0xFF}, {0x1A, 0x1A, 0x00, 0x01},
};

// Bits of kControl2.
constexpr std::uint8_t kBoot = 1 << 7;
constexpr std::uint8_t kFifoEnabled = 1 << 6;
constexpr std::uint8_t kAutoIncrement = 1 << 4;
constexpr std::uint8_t kSoftReset = 1 << 2;
constexpr std::uint8_t kOneShot = 1 << 0;
// Bits of kStatus.
constexpr std::uint8_t kPressureReady = 1 << 0;
constexpr std::uint8_t kTemperatureReady = 1 << 1;

constexpr std::size_t kSlotSize = 5;  // Of the FIFO: pressure and temperature.
constexpr std::size_t kSlots = 32;
constexpr double kPressureStep = 100.0 / 4096;      // Pa
constexpr double kTemperatureStep = 0.01;           // K
constexpr std::uint64_t kOneShotTime = 14'000'000;  // ns

std::uint64_t period_of_control(std::uint8_t control) {
  constexpr std::uint64_t kMillihertz[] = {0, 1000, 10'000, 25'000, 50'000, 75'000, 0, 0};
  const std::uint64_t rate = kMillihertz[control >> 4 & 7];
  return rate == 0 ? 0 : period_of(rate);
}

class Lps22hb final : public ByteChip {
 public:
  Lps22hb(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  std::uint8_t next(std::uint8_t address) override;
  void advance(std::uint64_t now) override {
    clock_.take(now, has_fifo() ? kSlots : 2, [this](std::uint64_t time) { take(time); });
  }
  void update_outputs() override;
  void exchange(StateFields& state) override {
    clock_.exchange(state);
    fifo_.exchange(state);
    state.fields(new_sample_);
  }

  bool has_fifo() const {
    return (at(kControl2) & kFifoEnabled) != 0 && (at(kFifoControl) >> 5) != 0;
  }
  void take(std::uint64_t time);
  void keep_in_fifo();
  std::uint8_t fifo_status() const;
  bool interrupt_pending() const;

  SampleClock clock_;
  ByteFifo fifo_{kSlots * kSlotSize};
  bool new_sample_ = false;  // Since the output was last updated.
};

void Lps22hb::take(std::uint64_t time) {
  const auto pressure = static_cast<std::uint32_t>(std::clamp<double>(
      std::round(host().measure(Quantity::kPressure, time) / kPressureStep), 0, 0x7F'FFFF));
  put_low_first(kPressure, static_cast<std::uint16_t>(pressure));
  at(kPressure + 2) = static_cast<std::uint8_t>(pressure >> 16);
  const double celsius = host().measure(Quantity::kTemperature, time) - 273.15;
  put_low_first(kTemperature, as_word(quantize<std::int16_t>(celsius, kTemperatureStep)));
  // Data that nobody read are overrun.
  const std::uint8_t ready = at(kStatus) & (kPressureReady | kTemperatureReady);
  at(kStatus) =
      static_cast<std::uint8_t>(at(kStatus) | ready << 4 | kPressureReady | kTemperatureReady);
  new_sample_ = true;
  keep_in_fifo();
  if (period_of_control(at(kControl1)) == 0) {
    clock_.stop();
    at(kControl2) &= static_cast<std::uint8_t>(~kOneShot);
  }
}

void Lps22hb::keep_in_fifo() {
  constexpr int kStopWhenFull = 1;
  if (!has_fifo() || (at(kFifoControl) >> 5 == kStopWhenFull && !fifo_.fits(kSlotSize))) {
    return;
  }
  std::array<std::uint8_t, kSlotSize> slot{};
  for (std::uint8_t i = 0; i < kSlotSize; ++i) {
    slot[i] = at(static_cast<std::uint8_t>(kPressure + i));
  }
  fifo_.push(slot);
}

std::uint8_t Lps22hb::fifo_status() const {
  const std::size_t slots = fifo_.frames();
  const bool at_watermark = slots >= (at(kFifoControl) & 0x1FU) && slots != 0;
  return static_cast<std::uint8_t>((at_watermark ? 0x80U : 0U) | (slots == kSlots ? 0x40U : 0U) |
                                   slots);
}

std::uint8_t Lps22hb::next(std::uint8_t address) {
  if ((at(kControl2) & kAutoIncrement) == 0) {
    return address;
  }
  return has_fifo() && address == kLastData ? static_cast<std::uint8_t>(kPressure)
                                            : static_cast<std::uint8_t>(address + 1);
}

std::uint8_t Lps22hb::load(std::uint8_t address) {
  if (address == kFifoStatus) {
    return fifo_status();
  }
  if (address >= kPressure && address <= kLastData) {
    if (address == kPressure + 2) {
      at(kStatus) &= static_cast<std::uint8_t>(~(kPressureReady * 0x11));
    } else if (address == kLastData) {
      at(kStatus) &= static_cast<std::uint8_t>(~(kTemperatureReady * 0x11));
    }
    return has_fifo() && !fifo_.empty() ? fifo_.pop(0) : at(address);
  }
  return at(address);
}

void Lps22hb::store(std::uint8_t address, std::uint8_t value) {
  ByteChip::store(address, value);
  const std::uint64_t now = host().now();
  if (address == kControl2) {
    if ((value & kSoftReset) != 0) {
      reset_registers();
      fifo_.clear();
      clock_.stop();
    } else if ((value & kOneShot) != 0 && period_of_control(at(kControl1)) == 0) {
      clock_.start(now, kOneShotTime);
    }
    at(kControl2) &= static_cast<std::uint8_t>(~(kSoftReset | kBoot));
  } else if (address == kControl1) {
    clock_.set(now, period_of_control(value));
  }
  if (!has_fifo()) {
    fifo_.clear();
  }
}

bool Lps22hb::interrupt_pending() const {
  const std::uint8_t control = at(kControl3);
  const std::uint8_t fifo = fifo_status();
  return ((control & 0x04) != 0 && (at(kStatus) & (kPressureReady | kTemperatureReady)) != 0) ||
         ((control & 0x08) != 0 && (fifo & 0x40) != 0) ||
         ((control & 0x10) != 0 && (fifo & 0x80) != 0) ||
         ((control & 0x20) != 0 && (fifo & 0x3F) == kSlots);
}

void Lps22hb::update_outputs() {
  const bool active_high = (at(kControl3) & 0x80) == 0;
  const bool enabled = (at(kControl3) & 0x3C) != 0;
  const bool pending = interrupt_pending();
  if (new_sample_ && pending && (at(kControl3) & 0x04) != 0) {
    host().drive_interrupt(!active_high);  // Each sample is an edge, read or not.
  }
  new_sample_ = false;
  host().drive_interrupt(pending == active_high);
  host().wake_at(enabled ? clock_.next() : std::nullopt);
}

constexpr std::string_view kMeasures[] = {"pressure", "temperature"};
constexpr std::uint8_t kAddresses[] = {0x5C, 0x5D};

}  // namespace

extern const ChipModel kLps22hb = {
    .name = "lps22hb",
    .role = ChipRole::kSensor,
    .compatible = "st,lps22hb-press",
    .acpi_id = "",
    .acpi_compatible = "st,lps22hb",
    .interrupt = ChipInterrupt::kEdgeRising,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Lps22hb>,
};

}  // namespace ensemble::device
