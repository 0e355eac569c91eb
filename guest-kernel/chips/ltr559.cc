// Lite-On LTR-559ALS: ambient light and proximity. Files as Linux's ltr501 driver has them, for the
// gains after a reset and ten measurements a second.

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kLightControl = 0x80,
  kProximityControl = 0x81,
  kLightRate = 0x85,
  kPartId = 0x86,
  kLightData = 0x88,  // infrared, then both
  kStatus = 0x8c,
  kProximityData = 0x8d,
};

constexpr std::uint8_t kLightActive = 1 << 0;      // of kLightControl
constexpr std::uint8_t kProximityActive = 1 << 1;  // of kProximityControl
constexpr std::uint8_t kStandby = 0;               // of both
constexpr std::uint8_t kEach100Milliseconds = 1;   // of kLightRate, integrating as long
// Of kStatus.
constexpr std::uint8_t kProximityReady = 1 << 0;
constexpr std::uint8_t kLightReady = 1 << 2;

constexpr int kProximityMask = 0x7ff;
constexpr std::uint64_t kPause = 20'000'000;   // ns
constexpr std::uint64_t kLimit = 500'000'000;  // ns

enum Channel : std::uint32_t { kIlluminance, kBoth, kInfrared, kProximity };

constexpr Attribute kAttributes[] = {
    {"in_illuminance_input", {}, kIlluminance},
    {"in_intensity_both_raw", {}, kBoth},
    {"in_intensity_integration_time", "0.100000"},
    {"in_intensity_ir_raw", {}, kInfrared},
    {"in_intensity_sampling_frequency", "10.000000"},
    {"in_intensity_scale", "1.000000"},
    {"in_intensity_scale_available", "1.000000 0.500000 0.250000 0.125000 0.020000 0.010000"},
    {"in_proximity_raw", {}, kProximity},
    {"in_proximity_scale", "0.062500"},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "ltr559", kAttributes}};

int probe(Registers& chip) {
  return chip.expect(kPartId, 0x90, 0xf0);
}

// lx, by the formula of the data sheet: it takes how much of the light is infrared.
std::uint32_t illuminance(std::uint32_t both, std::uint32_t infrared) {
  if (both == 0) {
    return 0;
  }
  const std::uint32_t percent = (infrared * 100 + both + infrared - 1) / (both + infrared);
  const std::int64_t wide_both = both;
  const std::int64_t wide_infrared = infrared;
  const std::int64_t thousandths = percent < 45   ? 1774 * wide_both + 1105 * wide_infrared
                                   : percent < 64 ? 3772 * wide_both - 1336 * wide_infrared
                                   : percent < 85 ? 1690 * wide_both - 169 * wide_infrared
                                                  : 0;
  return static_cast<std::uint32_t>(thousandths / 1000);
}

int read_light(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  std::array<std::uint8_t, 4> bytes{};
  // What an earlier use left there is not new; reading it says so to the chip.
  int error = chip.read(kLightData, bytes);
  error = error != 0 ? error : chip.write(kLightRate, kEach100Milliseconds);
  error = error != 0 ? error : chip.write(kLightControl, kLightActive);
  error = error != 0 ? error : chip.wait_until(kStatus, kLightReady, kLightReady, kPause, kLimit);
  error = error != 0 ? error : chip.read(kLightData, bytes);
  const int stopped = chip.write(kLightControl, kStandby);
  const std::uint32_t infrared = low_first(bytes);
  const std::uint32_t both = low_first(std::span(bytes).subspan(2));
  text.decimal(channel == kBoth       ? both
               : channel == kInfrared ? infrared
                                      : illuminance(both, infrared));
  return error != 0 ? error : stopped;
}

int read_proximity(Registers& chip, guest::TextWriter& text) {
  std::array<std::uint8_t, 2> bytes{};
  int error = chip.read(kProximityData, bytes);
  error = error != 0 ? error : chip.write(kProximityControl, kProximityActive);
  error = error != 0 ? error
                     : chip.wait_until(kStatus, kProximityReady, kProximityReady, kPause, kLimit);
  error = error != 0 ? error : chip.read(kProximityData, bytes);
  const int stopped = chip.write(kProximityControl, kStandby);
  put_integer(text, low_first(bytes) & kProximityMask);
  return error != 0 ? error : stopped;
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  return channel == kProximity ? read_proximity(chip, text) : read_light(chip, channel, text);
}

}  // namespace

extern const ChipModel ltr559_model = {"liteon,ltr559", kDevices};
extern const ChipDriver ltr559_driver = {probe, read};

}  // namespace chips
