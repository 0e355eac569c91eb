#include "device-model/chip_catalogue.h"

#include <algorithm>
#include <iterator>

// Every chip, each defined in its own file.
#define ENSEMBLE_CHIPS(CHIP) \
  CHIP(kAk09912)             \
  CHIP(kBmc150)              \
  CHIP(kBmi160)              \
  CHIP(kBmp380)              \
  CHIP(kBq24190)             \
  CHIP(kDrv2605l)            \
  CHIP(kLps22hb)             \
  CHIP(kLsm6dso)             \
  CHIP(kLtr559)              \
  CHIP(kMax17047)            \
  CHIP(kMax30102)            \
  CHIP(kStk3310)             \
  CHIP(kVcnl4000)

namespace ensemble::device {

#define ENSEMBLE_DECLARE(model) extern const ChipModel model;
ENSEMBLE_CHIPS(ENSEMBLE_DECLARE)

namespace {

#define ENSEMBLE_ROW(model) &model,
constexpr const ChipModel* kChips[] = {ENSEMBLE_CHIPS(ENSEMBLE_ROW)};

}  // namespace

std::span<const ChipModel* const> chip_catalogue() {
  return kChips;
}

const ChipModel* find_chip(std::string_view name) {
  const auto* const chip = std::ranges::find(kChips, name, &ChipModel::name);
  return chip == std::end(kChips) ? nullptr : *chip;
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
