// Bosch BMP380: pressure and temperature (data sheet BST-BMP380-DS001). Files as Linux's bmp280
// driver has them. Each read is one forced measurement, after which the chip sleeps again.

#include <array>

#include "guest-kernel/chips/bmp380_compensation.h"
#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kChipId = 0x00,
  kStatus = 0x03,
  kData = 0x04,  // pressure, then temperature
  kPower = 0x1b,
  kOversampling = 0x1c,
  kTrim = 0x31,
};

constexpr std::uint8_t kBothReady = 3 << 5;            // of kStatus
constexpr std::uint8_t kMeasureBothOnce = 3 | 1 << 4;  // of kPower
constexpr std::uint8_t kPressureFourTimes = 2;         // of kOversampling
constexpr std::uint64_t kTime = 12'000'000;            // ns, of a measurement
constexpr std::uint64_t kLimit = 100'000'000;          // ns

enum Channel : std::uint32_t { kPressure, kTemperature };

constexpr std::string_view kRatios = "1 2 4 8 16 32";

constexpr Attribute kAttributes[] = {
    {"in_pressure_input", {}, kPressure},
    {"in_pressure_oversampling_ratio", "4"},
    {"in_pressure_oversampling_ratio_available", kRatios},
    {"in_temp_input", {}, kTemperature},
    {"in_temp_oversampling_ratio", "1"},
    {"in_temp_oversampling_ratio_available", kRatios},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "bmp380", kAttributes}};

int probe(Registers& chip) {
  return chip.expect(kChipId, 0x50);
}

std::uint32_t raw_value(std::span<const std::uint8_t> bytes) {
  return low_first(bytes) | static_cast<std::uint32_t>(bytes[2]) << 16;
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  std::array<std::uint8_t, Bmp380Compensation::kSize> trim{};
  std::array<std::uint8_t, 6> bytes{};
  int error = chip.read(kTrim, trim);
  error = error != 0 ? error : chip.write(kOversampling, kPressureFourTimes);
  error = error != 0 ? error : chip.write(kPower, kMeasureBothOnce);
  error = error != 0 ? error : chip.sleep(kTime);
  error = error != 0 ? error : chip.wait_until(kStatus, kBothReady, kBothReady, kTime, kLimit);
  error = error != 0 ? error : chip.read(kData, bytes);
  if (error != 0) {
    return error;
  }
  const Bmp380Compensation compensation(trim);
  const std::uint32_t temperature = raw_value(std::span(bytes).subspan(3));
  if (channel == kTemperature) {
    put_integer(text, compensation.temperature(temperature) * 10);  // millidegrees
  } else {
    // Kilopascals, with nine digits behind the point.
    put_fraction(text, compensation.pressure(raw_value(bytes), temperature) * 10'000, 9);
  }
  return 0;
}

}  // namespace

extern const ChipModel bmp380_model = {"bosch,bmp380", kDevices};
extern const ChipDriver bmp380_driver = {probe, read};

}  // namespace chips
