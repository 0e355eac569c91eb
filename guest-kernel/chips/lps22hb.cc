// STMicroelectronics LPS22HB: pressure and temperature. Files as Linux's st_pressure has them. Each
// read is one measurement of both.

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kIdentity = 0x0f,
  kControl2 = 0x11,
  kStatus = 0x27,
  kData = 0x28,  // pressure, then temperature
};

constexpr std::uint8_t kMeasureOnce = 1 << 4 | 1 << 0;  // of kControl2, with addresses that advance
constexpr std::uint8_t kBothReady = 3;                  // of kStatus
constexpr std::uint64_t kTime = 15'000'000;             // ns, of a measurement
constexpr std::uint64_t kLimit = 150'000'000;           // ns

enum Channel : std::uint32_t { kPressure, kTemperature };

constexpr Attribute kAttributes[] = {
    {"in_pressure_raw", {}, kPressure}, {"in_pressure_scale", "0.000024414"},
    {"in_temp_raw", {}, kTemperature},  {"in_temp_scale", "10.000000000"},
    {"sampling_frequency", "1"},        {"sampling_frequency_available", "1 10 25 50 75"},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "lps22hb", kAttributes}};

int probe(Registers& chip) {
  return chip.expect(kIdentity, 0xb1);
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  std::array<std::uint8_t, 5> bytes{};
  int error = chip.write(kControl2, kMeasureOnce);
  error = error != 0 ? error : chip.sleep(kTime);
  error = error != 0 ? error : chip.wait_until(kStatus, kBothReady, kBothReady, kTime, kLimit);
  error = error != 0 ? error : chip.read(kData, bytes);
  if (channel == kTemperature) {
    put_integer(text, signed_low_first(std::span(bytes).subspan(3)));
  } else {
    put_integer(text, low_first(bytes) | static_cast<std::int8_t>(bytes[2]) * 65536);
  }
  return error;
}

}  // namespace

extern const ChipModel lps22hb_model = {"st,lps22hb-press", kDevices};
extern const ChipDriver lps22hb_driver = {probe, read};

}  // namespace chips
