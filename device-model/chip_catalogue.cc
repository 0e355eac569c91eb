#include "device-model/chip_catalogue.h"

#include <algorithm>
#include <iterator>

namespace ensemble::device {
namespace {

using std::string_view;

constexpr string_view kMotion[] = {"acceleration", "angular-velocity"};
constexpr string_view kAcceleration[] = {"acceleration"};
constexpr string_view kMagneticField[] = {"magnetic-field"};
constexpr string_view kLight[] = {"illuminance", "proximity"};
constexpr string_view kPressure[] = {"pressure", "temperature"};
constexpr string_view kHeartRate[] = {"heart-rate"};

constexpr std::uint8_t kAk09912Addresses[] = {0x0C, 0x0D, 0x0E, 0x0F};
constexpr std::uint8_t kBmc150Addresses[] = {0x10, 0x11};
constexpr std::uint8_t kBmi160Addresses[] = {0x68, 0x69};
constexpr std::uint8_t kBmp380Addresses[] = {0x76, 0x77};
constexpr std::uint8_t kBq24190Addresses[] = {0x6A, 0x6B};
constexpr std::uint8_t kDrv2605lAddresses[] = {0x5A};
constexpr std::uint8_t kLps22hbAddresses[] = {0x5C, 0x5D};
constexpr std::uint8_t kLsm6dsoAddresses[] = {0x6A, 0x6B};
constexpr std::uint8_t kLtr559Addresses[] = {0x23};
constexpr std::uint8_t kMax17047Addresses[] = {0x36};
constexpr std::uint8_t kMax30102Addresses[] = {0x57};
constexpr std::uint8_t kStk3310Addresses[] = {0x48};

constexpr ChipModel kChips[] = {
    {"ak09912", ChipRole::kSensor, "asahi-kasei,ak09912", kMagneticField, kAk09912Addresses},
    {"bmc150", ChipRole::kSensor, "bosch,bmc150_accel", kAcceleration, kBmc150Addresses},
    {"bmi160", ChipRole::kSensor, "bosch,bmi160", kMotion, kBmi160Addresses},
    {"bmp380", ChipRole::kSensor, "bosch,bmp380", kPressure, kBmp380Addresses},
    {"bq24190", ChipRole::kCharger, "ti,bq24190", {}, kBq24190Addresses},
    {"drv2605l", ChipRole::kHaptics, "ti,drv2605l", {}, kDrv2605lAddresses},
    {"lps22hb", ChipRole::kSensor, "st,lps22hb-press", kPressure, kLps22hbAddresses},
    {"lsm6dso", ChipRole::kSensor, "st,lsm6dso", kMotion, kLsm6dsoAddresses},
    {"ltr559", ChipRole::kSensor, "liteon,ltr559", kLight, kLtr559Addresses},
    {"max17047", ChipRole::kFuelGauge, "maxim,max17047", {}, kMax17047Addresses},
    {"max30102", ChipRole::kSensor, "maxim,max30102", kHeartRate, kMax30102Addresses},
    {"stk3310", ChipRole::kSensor, "sensortek,stk3310", kLight, kStk3310Addresses},
};

}  // namespace

std::span<const ChipModel> chip_catalogue() {
  return kChips;
}

const ChipModel* find_chip(std::string_view name) {
  const ChipModel* const chip = std::ranges::find(kChips, name, &ChipModel::name);
  return chip == std::end(kChips) ? nullptr : chip;
}

std::string_view describe(ChipRole role) {
  switch (role) {
    case ChipRole::kSensor:
      return "a sensor";
    case ChipRole::kFuelGauge:
      return "a fuel gauge";
    case ChipRole::kCharger:
      return "a charger";
    case ChipRole::kHaptics:
      return "a haptics driver";
  }
  return "a chip";
}

}  // namespace ensemble::device
