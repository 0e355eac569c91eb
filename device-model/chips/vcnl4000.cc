// Vishay VCNL4000: ambient light and proximity, each measured when it is asked for. Registers as
// its data sheet and Linux's vcnl4000 driver have them. It has no interrupt output.

#include <algorithm>
#include <array>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kCommand = 0x80,
  kProduct = 0x81,
  kLedCurrent = 0x83,
  kLightParameters = 0x84,
  kLightData = 0x85,
  kProximityData = 0x87,
  kProximityFrequency = 0x89,
  kModulator = 0x8A,
};

constexpr std::uint8_t kLocked = 1 << 7;  // Of kCommand; always set.

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {kCommand, kCommand, kLocked, 0x00},
    {kProduct, kProduct, 0x11, 0x00},  // Product 1, revision 1.
    {kLedCurrent, kLedCurrent, 0x02, 0x3F},
    {kLightParameters, kLightParameters, 0x0D, 0x8F},
    {kProximityFrequency, kProximityFrequency, 0x02, 0x03},
    {kModulator, kModulator, 0x81, 0xFF},
};

// One of both measurements: its bits of kCommand, its result (high byte first), and how long it
// takes, in ns. The driver waits up to 400 ms for either.
struct Measurement {
  std::uint8_t start;
  std::uint8_t ready;
  std::uint8_t data;
  std::uint64_t duration;
};
constexpr Measurement kMeasurements[] = {
    {.start = 1 << 4, .ready = 1 << 6, .data = kLightData, .duration = 100'000'000},
    {.start = 1 << 3, .ready = 1 << 5, .data = kProximityData, .duration = 1'000'000},
};

constexpr double kLuxStep = 0.25;
constexpr double kNearCount = 2000;  // Counts of an object at kNear, with the reset current.
constexpr double kNear = 0.05;       // m
constexpr int kUsualCurrent = 2;     // Steps of 10 mA.
constexpr int kMostCurrent = 20;

class Vcnl4000 final : public ByteChip {
 public:
  Vcnl4000(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  void advance(std::uint64_t now) override;
  void exchange(StateFields& state) override {
    for (std::uint64_t& end : ends_) {
      state.deadline(end);
    }
  }

  std::uint16_t measure(const Measurement& measurement, std::uint64_t time) const;

  // When the measurements that run will be ready; 0: none runs.
  std::array<std::uint64_t, std::size(kMeasurements)> ends_{};
};

std::uint16_t Vcnl4000::measure(const Measurement& measurement, std::uint64_t time) const {
  if (measurement.data == kLightData) {
    return quantize<std::uint16_t>(host().measure(Quantity::kIlluminance, time), kLuxStep);
  }
  const double light = std::min<int>(at(kLedCurrent), kMostCurrent) / double{kUsualCurrent};
  const double distance = std::max(host().measure(Quantity::kProximity, time), 0.001);
  return quantize<std::uint16_t>(kNearCount * light * kNear * kNear / (distance * distance), 1);
}

void Vcnl4000::advance(std::uint64_t now) {
  for (std::size_t i = 0; i < ends_.size(); ++i) {
    if (ends_[i] == 0 || now < ends_[i]) {
      continue;
    }
    const Measurement& measurement = kMeasurements[i];
    const std::uint16_t value = measure(measurement, ends_[i]);
    at(measurement.data) = static_cast<std::uint8_t>(value >> 8);
    at(measurement.data + 1) = static_cast<std::uint8_t>(value);
    at(kCommand) =
        static_cast<std::uint8_t>((at(kCommand) & ~measurement.start) | measurement.ready);
    ends_[i] = 0;
  }
}

std::uint8_t Vcnl4000::load(std::uint8_t address) {
  for (const Measurement& measurement : kMeasurements) {
    if (address == measurement.data || address == measurement.data + 1) {
      at(kCommand) &= static_cast<std::uint8_t>(~measurement.ready);
    }
  }
  return at(address);
}

// A measurement that runs is not started again.
void Vcnl4000::store(std::uint8_t address, std::uint8_t value) {
  ByteChip::store(address, value);
  if (address != kCommand) {
    return;
  }
  for (std::size_t i = 0; i < ends_.size(); ++i) {
    const Measurement& measurement = kMeasurements[i];
    if ((value & measurement.start) != 0 && ends_[i] == 0) {
      at(kCommand) =
          static_cast<std::uint8_t>((at(kCommand) & ~measurement.ready) | measurement.start);
      ends_[i] = host().now() + measurement.duration;
    }
  }
}

constexpr std::string_view kMeasures[] = {"illuminance", "proximity"};
constexpr std::uint8_t kAddresses[] = {0x13};

}  // namespace

extern const ChipModel kVcnl4000 = {
    .name = "vcnl4000",
    .role = ChipRole::kSensor,
    .compatible = "vishay,vcnl4000",
    .acpi_id = "",
    .interrupt = ChipInterrupt::kNone,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Vcnl4000>,
};

}  // namespace ensemble::device
