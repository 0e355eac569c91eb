// Asahi Kasei AK09912: magnetometer. Files as Linux's ak8975 driver has them. Each read is a single
// measurement, after which the chip powers itself down.

#include <asm/errno.h>

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kCompany = 0x00,
  kDevice = 0x01,
  kStatus1 = 0x10,
  kData = 0x11,  // up to the second status, at whose reading the measurement is over
  kControl2 = 0x31,
};

constexpr std::uint8_t kMeasureOnce = 1;       // of kControl2
constexpr std::uint8_t kReady = 1 << 0;        // of kStatus1
constexpr std::uint8_t kOverflow = 1 << 3;     // of the second status
constexpr std::uint64_t kTime = 8'000'000;     // ns, of a measurement
constexpr std::uint64_t kLimit = 100'000'000;  // ns

// Channels: the axes. The scale is that of sensitivity words of 128, which every chip has.
constexpr Attribute kAttributes[] = {
    {"in_magn_x_raw", {}, 0},
    {"in_magn_x_scale", "0.001500"},
    {"in_magn_y_raw", {}, 1},
    {"in_magn_y_scale", "0.001500"},
    {"in_magn_z_raw", {}, 2},
    {"in_magn_z_scale", "0.001500"},
    {"in_mount_matrix", "1, 0, 0; 0, 1, 0; 0, 0, 1"},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "ak09912", kAttributes}};

int probe(Registers& chip) {
  const int error = chip.expect(kCompany, 0x48);
  return error != 0 ? error : chip.expect(kDevice, 0x04);
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  std::array<std::uint8_t, 8> bytes{};
  int error = chip.write(kControl2, kMeasureOnce);
  error = error != 0 ? error : chip.sleep(kTime);
  error = error != 0 ? error : chip.wait_until(kStatus1, kReady, kReady, kTime, kLimit);
  error = error != 0 ? error : chip.read(kData, bytes);
  if (error == 0 && (bytes[7] & kOverflow) != 0) {
    error = EINVAL;
  }
  put_integer(text, signed_low_first(std::span(bytes).subspan(2 * channel, 2)));
  return error;
}

}  // namespace

extern const ChipModel ak09912_model = {"asahi-kasei,ak09912", kDevices};
extern const ChipDriver ak09912_driver = {probe, read};

}  // namespace chips
