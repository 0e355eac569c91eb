// Maxim MAX30102: heart rate and blood oxygen. Files as Linux's max30102 driver has them: the light
// of its diodes comes by buffers only, so that what can be read is the die's temperature.

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kMode = 0x09,
  kTemperature = 0x1f,  // whole degrees, then sixteenths
  kTemperatureEnable = 0x21,
  kPartId = 0xff,
};

constexpr std::uint8_t kShutDown = 1 << 7;     // of kMode
constexpr std::uint8_t kMeasure = 1 << 0;      // of kTemperatureEnable, until it is done
constexpr std::uint64_t kTime = 29'000'000;    // ns, of a measurement
constexpr std::uint64_t kLimit = 300'000'000;  // ns

constexpr std::uint32_t kTemperatureChannel = 0;

constexpr Attribute kAttributes[] = {
    {"in_temp_raw", {}, kTemperatureChannel},
    {"in_temp_scale", "62.500000000"},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "max30102", kAttributes}};

int probe(Registers& chip) {
  const int error = chip.expect(kPartId, 0x15);
  return error != 0 ? error : chip.write(kMode, kShutDown);
}

int read(Registers& chip, std::uint32_t /*channel*/, guest::TextWriter& text) {
  std::array<std::uint8_t, 2> bytes{};
  int error = chip.write(kMode, 0);
  error = error != 0 ? error : chip.write(kTemperatureEnable, kMeasure);
  error = error != 0 ? error : chip.sleep(kTime);
  error = error != 0 ? error : chip.wait_until(kTemperatureEnable, 0, kMeasure, kTime, kLimit);
  error = error != 0 ? error : chip.read(kTemperature, bytes);
  const int stopped = chip.write(kMode, kShutDown);
  put_integer(text, static_cast<std::int8_t>(bytes[0]) * 16 + (bytes[1] & 0xf));
  return error != 0 ? error : stopped;
}

}  // namespace

extern const ChipModel max30102_model = {"maxim,max30102", kDevices};
extern const ChipDriver max30102_driver = {probe, read};

}  // namespace chips
