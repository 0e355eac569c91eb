// Sensortek STK3310: ambient light and proximity. Registers as its data sheet and Linux's stk3310
// driver have them.

#include <algorithm>
#include <array>
#include <cmath>

#include "device-model/chip_catalogue.h"
#include "device-model/chips/register_chip.h"
#include "device-model/chips/sample_clock.h"

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kState = 0x00,
  kProximityControl = 0x01,
  kLightControl = 0x02,
  kInterrupt = 0x04,
  kWait = 0x05,
  kProximityUpper = 0x06,
  kProximityLower = 0x08,
  kLightUpper = 0x0A,
  kLightLower = 0x0C,
  kFlags = 0x10,
  kProximityData = 0x11,
  kLightData = 0x13,
  kSoftReset = 0x80,
};

constexpr RegisterRow<std::uint8_t> kRows[] = {
    {0x00, 0x00, 0x00, 0x07}, {0x01, 0x01, 0x31, 0xFF}, {0x02, 0x02, 0x39, 0xFF},
    {0x03, 0x03, 0xFF, 0xC0}, {0x04, 0x04, 0x00, 0x0F}, {0x05, 0x05, 0x00, 0xFF},
    {0x06, 0x07, 0xFF, 0xFF}, {0x08, 0x09, 0x00, 0xFF}, {0x0A, 0x0B, 0xFF, 0xFF},
    {0x0C, 0x0D, 0x00, 0xFF}, {0x3E, 0x3E, 0x13, 0x00},
};

// Bits of kFlags.
constexpr std::uint8_t kLightReady = 1 << 7;
constexpr std::uint8_t kProximityReady = 1 << 6;
constexpr std::uint8_t kLightInterrupt = 1 << 5;
constexpr std::uint8_t kProximityInterrupt = 1 << 4;
constexpr std::uint8_t kFar = 1 << 0;
constexpr std::uint8_t kClearable = kLightInterrupt | kProximityInterrupt;

constexpr std::uint64_t kShortestIntegration = 185'000;  // ns; each code doubles it.
constexpr std::uint64_t kWaitStep = 5'930'000;           // ns
constexpr int kUsualLightCode = 9;                       // Of integration, at which kLuxSteps hold.
constexpr int kUsualProximityCode = 1;
constexpr double kLuxSteps[] = {6.4, 1.6, 0.4, 0.1};
constexpr double kNearCount = 1000;  // Counts of an object at kNear, with the reset gain.
constexpr double kNear = 0.05;       // m

std::uint64_t integration(std::uint8_t control) {
  return kShortestIntegration << (control & 0x0F);
}

class Stk3310 final : public ByteChip {
 public:
  Stk3310(ChipHost& host, ChipSettings settings) : ByteChip(host, std::move(settings), kRows) {
    at(kFlags) = kFar;
  }

 private:
  std::uint8_t load(std::uint8_t address) override;
  void store(std::uint8_t address, std::uint8_t value) override;
  void advance(std::uint64_t now) override {
    light_.take(now, 4, [this](std::uint64_t time) { take_light(time); });
    proximity_.take(now, 4, [this](std::uint64_t time) { take_proximity(time); });
  }
  void update_outputs() override;
  void exchange(StateFields& state) override {
    light_.exchange(state);
    proximity_.exchange(state);
  }

  void take_light(std::uint64_t time);
  void take_proximity(std::uint64_t time);
  void set_clocks();
  void put(std::uint8_t address, std::uint16_t value) {
    at(address) = static_cast<std::uint8_t>(value >> 8);
    at(static_cast<std::uint8_t>(address + 1)) = static_cast<std::uint8_t>(value);
  }
  std::uint16_t word(std::uint8_t address) const {
    return static_cast<std::uint16_t>(at(address) << 8 |
                                      at(static_cast<std::uint8_t>(address + 1)));
  }

  SampleClock light_;
  SampleClock proximity_;
};

void Stk3310::take_light(std::uint64_t time) {
  const std::uint8_t control = at(kLightControl);
  const double exposure = std::ldexp(1.0, (control & 0x0F) - kUsualLightCode);
  const double lux = std::max(host().measure(Quantity::kIlluminance, time), 0.0);
  const auto counts = quantize<std::uint16_t>(lux * exposure, kLuxSteps[control >> 4 & 3]);
  put(kLightData, counts);
  at(kFlags) |= kLightReady;
  if ((at(kInterrupt) & 8) != 0 && (counts > word(kLightUpper) || counts < word(kLightLower))) {
    at(kFlags) |= kLightInterrupt;
  }
}

// The interrupt tells that an object has come near or has gone, not that it is there.
void Stk3310::take_proximity(std::uint64_t time) {
  const std::uint8_t control = at(kProximityControl);
  const double exposure = std::ldexp(1.0, (control & 0x0F) - kUsualProximityCode);
  const double gain = std::ldexp(1.0, 2 * ((control >> 4 & 3) - 3));
  const double distance = std::max(host().measure(Quantity::kProximity, time), 0.001);
  const double counts = kNearCount * kNear * kNear / (distance * distance) * exposure * gain;
  const auto value = quantize<std::uint16_t>(counts, 1);
  put(kProximityData, value);
  at(kFlags) |= kProximityReady;
  const bool was_far = (at(kFlags) & kFar) != 0;
  const bool far = was_far ? value <= word(kProximityUpper) : value < word(kProximityLower);
  if (far == was_far) {
    return;
  }
  at(kFlags) ^= kFar;
  if ((at(kInterrupt) & 7) != 0) {
    at(kFlags) |= kProximityInterrupt;
  }
}

std::uint8_t Stk3310::load(std::uint8_t address) {
  if (address == kLightData) {
    at(kFlags) &= static_cast<std::uint8_t>(~kLightReady);
  } else if (address == kProximityData) {
    at(kFlags) &= static_cast<std::uint8_t>(~kProximityReady);
  }
  return at(address);
}

void Stk3310::store(std::uint8_t address, std::uint8_t value) {
  if (address == kSoftReset) {
    reset_registers();
    at(kFlags) = kFar;
  } else if (address == kFlags) {
    at(kFlags) &= static_cast<std::uint8_t>(value | ~kClearable);
  } else {
    ByteChip::store(address, value);
  }
  set_clocks();
}

void Stk3310::set_clocks() {
  const std::uint64_t now = host().now();
  const std::uint8_t state = at(kState);
  const std::uint64_t pause = (state & 4) != 0 ? (at(kWait) + 1U) * kWaitStep : 0;
  // A proximity measurement is at least a few milliseconds after the one before.
  constexpr std::uint64_t kShortestPeriod = 5'000'000;
  light_.set(now, (state & 2) != 0
                      ? std::max(integration(at(kLightControl)) + pause, kShortestPeriod)
                      : 0);
  proximity_.set(now, (state & 1) != 0
                          ? std::max(integration(at(kProximityControl)) + pause, kShortestPeriod)
                          : 0);
}

// Open-drain, low while an interrupt is flagged.
void Stk3310::update_outputs() {
  host().drive_interrupt((at(kFlags) & kClearable) == 0);
  // Drivers leave the chip measuring, with thresholds that no value crosses: nobody wakes for
  // those.
  const std::uint8_t enabled = at(kInterrupt);
  const bool light = (enabled & 8) != 0 && (word(kLightUpper) != 0xFFFF || word(kLightLower) != 0);
  const bool is_far = (at(kFlags) & kFar) != 0;
  const bool proximity =
      (enabled & 7) != 0 && (is_far ? word(kProximityUpper) != 0xFFFF : word(kProximityLower) != 0);
  std::optional<std::uint64_t> time = light ? light_.next() : std::nullopt;
  if (const auto other = proximity_.next(); proximity && other && (!time || *other < *time)) {
    time = other;
  }
  host().wake_at(time);
}

constexpr std::string_view kMeasures[] = {"illuminance", "proximity"};
constexpr std::uint8_t kAddresses[] = {0x48};

}  // namespace

extern const ChipModel kStk3310 = {
    .name = "stk3310",
    .role = ChipRole::kSensor,
    .compatible = "sensortek,stk3310",
    .acpi_id = "STK3310",
    .interrupt = ChipInterrupt::kEdgeFalling,
    .measures = kMeasures,
    .addresses = kAddresses,
    .make = make_chip<Stk3310>,
};

}  // namespace ensemble::device
