// Sensortek STK3310: ambient light and proximity. Files as Linux's stk3310 driver has them, for the
// gains and integration times after a reset.

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kState = 0x00,
  kFlags = 0x10,
  kProximityData = 0x11,
  kLightData = 0x13,
  kChipId = 0x3e,
};

// Of kState.
constexpr std::uint8_t kMeasureProximity = 1 << 0;
constexpr std::uint8_t kMeasureLight = 1 << 1;
constexpr std::uint8_t kStandby = 0;
// Of kFlags.
constexpr std::uint8_t kProximityReady = 1 << 6;
constexpr std::uint8_t kLightReady = 1 << 7;

constexpr std::uint64_t kPause = 10'000'000;   // ns
constexpr std::uint64_t kLimit = 500'000'000;  // ns

enum Channel : std::uint32_t { kProximity, kLight };

constexpr Attribute kAttributes[] = {
    {"in_illuminance_integration_time", "0.094720"},
    {"in_illuminance_raw", {}, kLight},
    {"in_illuminance_scale", "0.100000"},
    {"in_illuminance_scale_available", "6.4 1.6 0.4 0.1"},
    {"in_proximity_integration_time", "0.000370"},
    {"in_proximity_raw", {}, kProximity},
    {"in_proximity_scale", "0.200000"},
    {"in_proximity_scale_available", "12.8 3.2 0.8 0.2"},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "stk3310", kAttributes}};

int probe(Registers& chip) {
  return chip.expect(kChipId, 0x13);
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  const bool light = channel == kLight;
  const std::uint8_t data = light ? kLightData : kProximityData;
  const std::uint8_t ready = light ? kLightReady : kProximityReady;
  std::array<std::uint8_t, 2> bytes{};
  // What an earlier use left there is not new; reading it says so to the chip.
  int error = chip.read(data, bytes);
  error = error != 0 ? error : chip.write(kState, light ? kMeasureLight : kMeasureProximity);
  error = error != 0 ? error : chip.wait_until(kFlags, ready, ready, kPause, kLimit);
  error = error != 0 ? error : chip.read(data, bytes);
  const int stopped = chip.write(kState, kStandby);
  put_integer(text, high_first(bytes));
  return error != 0 ? error : stopped;
}

}  // namespace

extern const ChipModel stk3310_model = {"sensortek,stk3310", kDevices};
extern const ChipDriver stk3310_driver = {probe, read};

}  // namespace chips
