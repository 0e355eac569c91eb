// Bosch BMC150: its accelerometer (data sheet BST-BMC150-DS000). Files as Linux's bmc150-accel has
// them, for its settings: 4 g and 125 Hz.

#include <asm/errno.h>

#include <array>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/chips/number.h"
#include "guest-kernel/chips/registers.h"

namespace chips {
namespace {

enum Register : std::uint8_t {
  kChipId = 0x00,
  kData = 0x02,
  kRange = 0x0f,
  kBandwidth = 0x10,
  kPower = 0x11,
};

constexpr std::uint8_t kFourG = 0x05;
constexpr std::uint8_t k125Hertz = 0x0b;
constexpr std::uint8_t kNormal = 0;
constexpr std::uint8_t kSuspend = 1 << 7;
constexpr std::uint64_t kTwoPeriods = 16'000'000;  // ns
constexpr int kNewData = 1;                        // of a value's lowest bit

// Channels: the axes.
constexpr Attribute kAttributes[] = {
    {"in_accel_sampling_frequency", "125.000000"},
    {"in_accel_scale", "0.019154"},
    {"in_accel_x_raw", {}, 0},
    {"in_accel_y_raw", {}, 1},
    {"in_accel_z_raw", {}, 2},
    {"in_mount_matrix", "1, 0, 0; 0, 1, 0; 0, 0, 1"},
    {"sampling_frequency_available", "15.620000 31.260000 62.50000 125 250 500 1000 2000"},
};

constexpr ChipDevice kDevices[] = {{Subsystem::kIio, "bmc150_accel", kAttributes}};

// It measures from power-on until it is told to stop.
int probe(Registers& chip) {
  const int error = chip.expect(kChipId, 0xfa);
  return error != 0 ? error : chip.write(kPower, kSuspend);
}

int measure(Registers& chip, std::uint8_t data, std::span<std::uint8_t> bytes) {
  int error = chip.write(kRange, kFourG);
  error = error != 0 ? error : chip.write(kBandwidth, k125Hertz);
  error = error != 0 ? error : chip.write(kPower, kNormal);
  error = error != 0 ? error : chip.sleep(kTwoPeriods);
  error = error != 0 ? error : chip.read(data, bytes);
  return error != 0 || (bytes[0] & kNewData) != 0 ? error : EIO;
}

int read(Registers& chip, std::uint32_t channel, guest::TextWriter& text) {
  std::array<std::uint8_t, 2> bytes{};
  const int error = measure(chip, static_cast<std::uint8_t>(kData + 2 * channel), bytes);
  const int suspended = chip.write(kPower, kSuspend);
  put_integer(text, signed_low_first(bytes) >> 4);
  return error != 0 ? error : suspended;
}

}  // namespace

extern const ChipModel bmc150_model = {"bosch,bmc150_accel", kDevices};
extern const ChipDriver bmc150_driver = {probe, read};

}  // namespace chips
