// Lite-On LTR-559ALS: ambient light and proximity. Registers as its data sheet and Linux's ltr501
// driver have them.

#include <algorithm>
#include <array>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kLightControl = 0x80,
  kProximityControl = 0x81,
  kProximityRate = 0x84,
  kLightRate = 0x85,
  kInfraredData = 0x88,
  kVisibleData = 0x8A,
  kStatus = 0x8C,
  kProximityData = 0x8D,
  kInterrupt = 0x8F,
  kProximityUpper = 0x90,
  kProximityLower = 0x92,
  kLightUpper = 0x97,
  kLightLower = 0x99,
  kPersistence = 0x9E,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {0x80, 0x80, 0x00, 0x1D}, {0x81, 0x81, 0x00, 0x23}, {0x82, 0x82, 0x7F, 0xFF},
    {0x83, 0x83, 0x01, 0x0F}, {0x84, 0x84, 0x02, 0x0F}, {0x85, 0x85, 0x03, 0x3F},
    {0x86, 0x86, 0x92, 0x00}, {0x87, 0x87, 0x05, 0x00}, {0x8F, 0x8F, 0x00, 0x07},
    {0x90, 0x90, 0xFF, 0xFF}, {0x91, 0x91, 0x07, 0x07}, {0x92, 0x92, 0x00, 0xFF},
    {0x93, 0x93, 0x00, 0x07}, {0x94, 0x94, 0x00, 0x03}, {0x95, 0x95, 0x00, 0xFF},
    {0x97, 0x98, 0xFF, 0xFF}, {0x99, 0x9A, 0x00, 0xFF}, {0x9E, 0x9E, 0x00, 0xFF},
};

// Bits of kStatus.
constexpr std::uint8_t kLightInterrupt = 1 << 3;
constexpr std::uint8_t kLightReady = 1 << 2;
constexpr std::uint8_t kProximityInterrupt = 1 << 1;
constexpr std::uint8_t kProximityReady = 1 << 0;

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kProximityPeriods[] = {50, 70, 100, 200, 500, 1000, 2000, 2000, 10};
constexpr std::uint64_t kLightPeriods[] = {50, 100, 200, 500, 1000, 2000, 2000, 2000};
constexpr int kIntegrationTimes[] = {100, 50, 200, 400, 150, 250, 300, 350};  // ms
constexpr int kLightGains[] = {1, 2, 4, 8, 1, 1, 48, 96};

// A quarter of infrared light beside the visible, for which the data sheet's (and the driver's)
// formula gives 1.774 lx and 1.105 lx a count at gain 1 and 100 ms.
constexpr double kInfraredPart = 0.25;
constexpr double kLuxPerCount = 1.774 + 1.105 * kInfraredPart;

constexpr double kProximityFull = 2047;
constexpr double kNearest = 0.02;  // m, where the proximity sensor is at its end.

class Ltr559 final : public ByteChip {
 public:
  Ltr559(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {}

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  void advance(std::uint64_t now) override {
    light_.take(now, 16, [this](std::uint64_t time) { take_light(time); });
    proximity_.take(now, 16, [this](std::uint64_t time) { take_proximity(time); });
  }
  void update_outputs() override;
  void exchange(StateFields& state) override {
    light_.exchange(state);
    proximity_.exchange(state);
    state.fields(light_run_, proximity_run_);
  }

  void take_light(std::uint64_t time);
  void take_proximity(std::uint64_t time);
  void compare(std::uint16_t value, std::uint8_t upper, std::uint8_t lower, unsigned persistence,
               std::uint8_t interrupt, std::uint8_t& run);
  std::uint16_t word(std::uint8_t address) const {
    return static_cast<std::uint16_t>(at(address) | at(static_cast<std::uint8_t>(address + 1))
                                                        << 8);
  }

  SampleClock light_;
  SampleClock proximity_;
  std::uint8_t light_run_ = 0;  // Measurements in a row outside of the thresholds.
  std::uint8_t proximity_run_ = 0;
};

void Ltr559::take_light(std::uint64_t time) {
  const int gain = kLightGains[at(kLightControl) >> 2 & 7];
  const double exposure = kIntegrationTimes[at(kLightRate) >> 3 & 7] / 100.0;
  const double lux = std::max(host().measure(Quantity::kIlluminance, time), 0.0);
  const double counts = lux / kLuxPerCount * gain * exposure;
  put_low_first(kVisibleData, quantize<std::uint16_t>(counts, 1));
  put_low_first(kInfraredData, quantize<std::uint16_t>(counts * kInfraredPart, 1));
  at(kStatus) |= kLightReady;
  compare(word(kVisibleData), kLightUpper, kLightLower, at(kPersistence) & 0x0F, kLightInterrupt,
          light_run_);
}

void Ltr559::take_proximity(std::uint64_t time) {
  const double distance = std::max(host().measure(Quantity::kProximity, time), kNearest);
  const double part = kNearest * kNearest / (distance * distance);
  put_low_first(kProximityData, quantize<std::uint16_t>(kProximityFull * part, 1));
  at(kStatus) |= kProximityReady;
  compare(word(kProximityData), kProximityUpper, kProximityLower, at(kPersistence) >> 4,
          kProximityInterrupt, proximity_run_);
}

// An interrupt comes of the measurement after `persistence` ones outside of the thresholds.
void Ltr559::compare(std::uint16_t value, std::uint8_t upper, std::uint8_t lower,
                     unsigned persistence, std::uint8_t interrupt, std::uint8_t& run) {
  const bool outside = value > word(upper) || value < word(lower);
  run = outside ? static_cast<std::uint8_t>(std::min(run + 1, 255)) : 0;
  const int mode_bit = interrupt == kLightInterrupt ? 2 : 1;
  if (run > persistence && (at(kInterrupt) & mode_bit) != 0) {
    at(kStatus) |= interrupt;
  }
}

std::uint8_t Ltr559::load(std::uint8_t address) {
  std::uint8_t value = at(address);
  if (address == kStatus) {
    value = static_cast<std::uint8_t>(value | (at(kLightControl) & 0x1C) << 2);
    at(kStatus) &= static_cast<std::uint8_t>(~(kLightInterrupt | kProximityInterrupt));
  } else if (address >= kInfraredData && address < kStatus) {
    at(kStatus) &= static_cast<std::uint8_t>(~kLightReady);
  } else if (address == kProximityData || address == kProximityData + 1) {
    at(kStatus) &= static_cast<std::uint8_t>(~kProximityReady);
  }
  return value;
}

void Ltr559::store(std::uint8_t address, std::uint8_t value) {
  constexpr std::uint8_t kSoftReset = 1 << 1;
  if (address == kLightControl && (value & kSoftReset) != 0) {
    reset_registers();
    light_run_ = proximity_run_ = 0;
  } else {
    ByteChip::store(address, value);
  }
  const std::uint64_t now = host().now();
  const bool light = (at(kLightControl) & 1) != 0;
  // Not more often than one can be integrated.
  const auto integration = static_cast<std::uint64_t>(kIntegrationTimes[at(kLightRate) >> 3 & 7]);
  light_.set(now,
             light ? std::max(kLightPeriods[at(kLightRate) & 7], integration) * kMillisecond : 0);
  const bool proximity = (at(kProximityControl) & 2) != 0;
  proximity_.set(
      now, proximity ? kProximityPeriods[std::min<int>(at(kProximityRate) & 0x0F, 8)] * kMillisecond
                     : 0);
}

void Ltr559::update_outputs() {
  const std::uint8_t mode = at(kInterrupt);
  const bool active_high = (mode & 4) != 0;
  const bool pending = (at(kStatus) & (kLightInterrupt | kProximityInterrupt)) != 0;
  host().drive_interrupt(pending == active_high);
  std::optional<std::uint64_t> time = (mode & 2) != 0 ? light_.next() : std::nullopt;
  if (const auto other = proximity_.next(); (mode & 1) != 0 && other && (!time || *other < *time)) {
    time = other;
  }
  host().wake_at(time);
}

constexpr std::string_view kMeasures[] = {"illuminance", "proximity"};
constexpr std::uint8_t kAddresses[] = {0x23};

}  // namespace

extern const ChipModel kLtr559 = {
    .name = "ltr559",
    .role = ChipRole::kSensor,
    .compatible = "liteon,ltr559",
    .acpi_id = "LTER0559",
    .interrupt = ChipInterrupt::kEdgeFalling,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Ltr559>,
};

}  // namespace ensemble::device
